package main

import (
	"errors"

	"github.com/spf13/cobra"

	"tminus.dev/internal/cli"
	"tminus.dev/internal/flyte"
)

var errNoFlyte = errors.New("admin.endpoint is empty in this configuration; name the one that says where flyteadmin is, with --config, or a configuration of flytectl, with $TMINUS_ADMIN_CONFIG_FILE")

func loginCommand(environ []string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "login",
		Short: "Log in to the remote flyteadmin of the configuration, as a person",
		Long: `Log in to the flyteadmin of admin.endpoint: with a browser where admin.authType is Pkce, with a code that is entered on any
device where it is DeviceFlow. The token is kept in a file of the user who runs this, which nobody else can read; a
tminus serve of the same user uses it, and renews it for as long as flyteadmin's authorization server allows.`,
		Example: `  tminus login --config tminus.yaml
  TMINUS_ADMIN_CONFIG_FILE=~/.flyte/config.yaml tminus login`,
		Args: cli.Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := load(cmd, environ)
			if err != nil {
				return err
			}
			if c.Admin.Endpoint == "" {
				return errNoFlyte
			}
			return flyte.Login(cmd.Context(), c.Admin, cmd.OutOrStdout())
		},
	}
	settingsFlags(cmd)
	return cmd
}
