package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// A model server that tells who asked: its answer names the model and the key of the request.
func openai(address string) error {
	http.HandleFunc("/v1/chat/completions", complete)
	fmt.Println("model server on", address)
	server := &http.Server{Addr: address, ReadHeaderTimeout: 10 * time.Second}
	return server.ListenAndServe()
}

func complete(response http.ResponseWriter, request *http.Request) {
	var asked struct {
		Model  string `json:"model"`
		Stream bool   `json:"stream"`
	}
	if err := json.NewDecoder(request.Body).Decode(&asked); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	key := strings.TrimPrefix(request.Header.Get("Authorization"), "Bearer ")
	text := fmt.Sprintf("%s with %s", asked.Model, key)
	if asked.Stream {
		stream(response, asked.Model, text)
		return
	}
	response.Header().Set("Content-Type", "application/json")
	fmt.Fprintf(response, `{"id":"c","object":"chat.completion","created":1,"model":%q,"choices":[{"index":0,"message":`+
		`{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}`,
		asked.Model, text)
}

func stream(response http.ResponseWriter, model, text string) {
	response.Header().Set("Content-Type", "text/event-stream")
	for _, word := range strings.SplitAfter(text, " ") {
		fmt.Fprintf(response, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":%q,"choices":[{"index":0,`+
			`"delta":{"content":%q},"finish_reason":null}]}`+"\n\n", model, word)
		response.(http.Flusher).Flush()
	}
	fmt.Fprintf(response, `data: {"id":"c","object":"chat.completion.chunk","created":1,"model":%q,"choices":[{"index":0,"delta":{},`+
		`"finish_reason":"stop"}]}`+"\n\n", model)
	fmt.Fprint(response, `data: {"id":"c","object":"chat.completion.chunk","created":1,"choices":[],"usage":`+
		`{"prompt_tokens":3,"completion_tokens":5,"total_tokens":8}}`+"\n\ndata: [DONE]\n\n")
}
