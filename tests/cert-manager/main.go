// cert-manager's controller as one program. 1.11 is the last line whose command is in the root module, where others may import
// it; the API that an operator writes, Certificate v1, is the one of today.
package main

import (
	"flag"

	"github.com/cert-manager/cert-manager/cmd/controller/app"
	"github.com/cert-manager/cert-manager/cmd/util"
	"github.com/cert-manager/cert-manager/pkg/logs"
)

func main() {
	stop, exit := util.SetupExitHandler(util.GracefulShutdown)
	defer exit() // may end the process, so it is deferred first and runs last

	logs.InitLogs(flag.CommandLine)
	defer logs.FlushLogs()

	command := app.NewCommandStartCertManagerController(stop)
	command.Flags().AddGoFlagSet(flag.CommandLine)
	_ = flag.CommandLine.Parse(nil)
	if err := command.Execute(); err != nil {
		logs.Log.Error(err, "failed to run")
		util.SetExitCode(err)
	}
}
