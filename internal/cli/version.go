package cli

import (
	"context"
	"errors"
	"io"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/tzdata"
)

// versionTime bounds the wait for a server that may not be there.
const versionTime = 2 * time.Second

func (c *client) versionCommand(version string) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version of tminus, of its time zones, and of the server if there is one",
		Args:  Exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			built := struct {
				Version  string `json:"version"`
				Go       string `json:"go"`
				Platform string `json:"platform"`
				Zones    string `json:"timeZones"`
				Server   string `json:"server,omitempty"`
			}{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
			zones := tzdata.InUse()
			built.Zones = zones.Version + " (" + zones.Where + ")"
			ctx, cancel := context.WithTimeout(cmd.Context(), versionTime)
			defer cancel()
			server := "none at " + c.endpoint
			err := c.with(func(s *connection) error {
				answer, err := s.admin.GetVersion(ctx, &admin.GetVersionRequest{})
				if err != nil {
					return err
				}
				built.Server = answer.GetControlPlaneVersion().GetVersion()
				server = built.Server + " at " + c.endpoint
				return nil
			})
			if err != nil && !errors.Is(err, errNoServer) {
				server = "unknown at " + c.endpoint + ": " + explain(err)
			}
			return c.format.print(cmd, built, func(w io.Writer) {
				field(w, "tminus", version+" ("+built.Go+", "+built.Platform+")")
				field(w, "time zones", built.Zones)
				field(w, "server", server)
			})
		},
	}
}
