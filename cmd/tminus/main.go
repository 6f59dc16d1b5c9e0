// Command tminus launches Flyte launch plans on time. `tminus serve` is the
// server; every other command talks to one.
package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata" // Zones on machines that have no time zone database.

	"tminus.dev/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // A second signal ends the process at once.
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it. It returns the exit
// code: 0 for done, 1 for failed, 2 for misused.
func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := cli.New(version())                                                                                     //nolint:contextcheck // Commands get theirs from cobra.
	root.AddCommand(serveCommand(environ), migrateCommand(environ), configCommand(environ), loginCommand(environ)) //nolint:contextcheck // Likewise.
	root.AddCommand(pushCommand(environ), compareCommand(environ))                                                 //nolint:contextcheck // Likewise.
	addAWS(root, environ)                                                                                          //nolint:contextcheck // Likewise.
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return cli.Run(ctx, root)
}
