// The one program of the image that tests run where the project's own images are not the subject: it holds a pod's
// namespaces open (the "pause" of every pod), serves HTTP, fetches and resolves. Static, no shell needed.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

const usage = "usage: box pause | serve ADDRESS | openai ADDRESS | files ADDRESS FOLDER | fetch URL | resolve NAME | print WORDS"

func main() {
	if len(os.Args) < 2 {
		fail(fmt.Errorf("no command: %s", usage))
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fail(err)
	}
}

func run(command string, arguments []string) error {
	argument := strings.Join(arguments, " ")
	switch command {
	case "pause":
		pause()
		return nil
	case "serve":
		return serve(argument)
	case "openai":
		return openai(argument)
	case "files":
		return files(arguments)
	case "fetch":
		return fetch(argument)
	case "resolve":
		addresses, err := net.LookupHost(argument)
		fmt.Println(strings.Join(addresses, "\n"))
		return err
	case "print":
		fmt.Println(argument)
		return nil
	default:
		return fmt.Errorf("unknown command %q: %s", command, usage)
	}
}

// As process 1 of a pod that shares its process namespace, it must also collect the dead.
func pause() {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	dead := make(chan os.Signal, 16)
	signal.Notify(dead, syscall.SIGCHLD)
	for {
		select {
		case <-end:
			return
		case <-dead:
			for {
				if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
					break
				}
			}
		}
	}
}

func serve(address string) error {
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-end
		os.Exit(0)
	}()
	host, _ := os.Hostname()
	fmt.Println("serving on", address)
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(
		func(response http.ResponseWriter, request *http.Request) {
			fmt.Println(request.Method, request.URL.Path, "from", request.RemoteAddr)
			fmt.Fprintln(response, host)
		})}
	return server.ListenAndServe()
}

// Serves a folder over TLS, with the tls.crt and tls.key in it: an identity provider is little more than two files.
func files(arguments []string) error {
	if len(arguments) != 2 {
		return fmt.Errorf("files needs an address and a folder: %s", usage)
	}
	address, folder := arguments[0], arguments[1]
	fmt.Println("serving", folder, "on", address)
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second, Handler: http.FileServer(http.Dir(folder))}
	return server.ListenAndServeTLS(folder+"/tls.crt", folder+"/tls.key")
}

func fetch(url string) error {
	client := http.Client{Timeout: 10 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		return fmt.Errorf("failed to fetch %s: %s", url, response.Status)
	}
	_, err = io.Copy(os.Stdout, response.Body)
	return err
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}
