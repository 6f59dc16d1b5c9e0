package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/config"
)

// flagKeys are the settings that have a flag of their own.
var flagKeys = map[string]string{
	"data":      "data",
	"http-addr": "server.httpAddr",
	"grpc-addr": "server.grpcAddr",
}

// settingsFlags gives cmd the flags from which load reads.
func settingsFlags(cmd *cobra.Command) {
	cmd.Flags().String("config", "", "configuration file (YAML); $TMINUS_CONFIG where not given")
	defaults, err := config.Load("", nil, nil)
	if err != nil {
		panic(err) // The defaults are ours.
	}
	for _, v := range defaults.Values() {
		for flag, key := range flagKeys {
			if key == v.Key {
				cmd.Flags().String(flag, v.Value, v.Usage)
			}
		}
	}
}

// load reads the configuration in force for cmd.
func load(cmd *cobra.Command, environ []string) (*config.Config, error) {
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return nil, fmt.Errorf("read flags: %w", err)
	}
	if file == "" {
		file = lookup(environ, "TMINUS_CONFIG")
	}
	given := map[string]string{}
	for flag, key := range flagKeys {
		if f := cmd.Flags().Lookup(flag); f.Changed {
			given[key] = f.Value.String()
		}
	}
	return config.Load(file, environ, given)
}

func lookup(environ []string, name string) string {
	value := ""
	for _, entry := range environ {
		if n := len(name); len(entry) > n && entry[:n] == name && entry[n] == '=' {
			value = entry[n+1:]
		}
	}
	return value
}

func configCommand(environ []string) *cobra.Command {
	show := &cobra.Command{
		Use:   "show",
		Short: "Print the configuration in force and where each value came from",
		Args:  cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, environ)
			if err != nil {
				return err
			}
			return cli.Print(cmd, c.Values(), func(w io.Writer) {
				fmt.Fprintln(w, "KEY\tVALUE\tFROM\tVARIABLE")
				for _, v := range c.Values() {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", v.Key, v.Value, v.Origin, v.Variable)
				}
			})
		},
	}
	settingsFlags(show)
	return cli.Group("config", "Look at the configuration", "", show)
}
