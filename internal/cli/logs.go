package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	tminusv1 "tminus.dev/gen/tminus/v1"
)

func (c *client) executionsLogsCommand() *cobra.Command {
	var (
		node   string
		follow bool
	)
	cmd := &cobra.Command{
		Use:   "logs NAME",
		Short: "Print what the tasks of an execution wrote",
		Long: `Print what the tasks of an execution wrote: their standard output to standard output, and their standard
error to standard error. A heading on standard error says which attempt follows.`,
		Args:              Exactly("NAME"),
		ValidArgsFunction: c.completer(c.executionNames),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(func(s *connection) error {
				stream, err := s.logs.ReadLogs(cmd.Context(), &tminusv1.ReadLogsRequest{
					Project: c.project, Domain: c.domain, Name: args[0], Node: node, Follow: follow,
				})
				if err != nil {
					return err
				}
				p := logPrinter{client: c, out: cmd.OutOrStdout(), err: cmd.ErrOrStderr()}
				for {
					part, err := stream.Recv()
					if errors.Is(err, io.EOF) {
						if !p.wrote {
							line(cmd.ErrOrStderr(), "no task of %s wrote anything", args[0])
						}
						return nil
					}
					if err != nil {
						return err
					}
					if err := p.print(part); err != nil {
						return err
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&node, "node", "", "only this node")
	cmd.Flags().BoolVar(&follow, "follow", false, "go on until the execution has ended")
	return cmd
}

// A logPrinter writes the parts of logs.
type logPrinter struct {
	*client
	out, err io.Writer
	heading  string
	wrote    bool // there was something to print
	midLine  bool // the last byte written was no end of a line
}

// print writes a part, below a heading when another attempt begins. For
// programs it is one JSON object a line.
func (p *logPrinter) print(part *tminusv1.ReadLogsResponse) error {
	p.wrote = p.wrote || len(part.GetData()) > 0
	if p.format != table {
		b, err := encode(part)
		if err != nil {
			return fmt.Errorf("print logs: %w", err)
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, b); err != nil {
			return fmt.Errorf("print logs: %w", err)
		}
		_, err = fmt.Fprintln(p.out, compact.String())
		return err
	}
	heading := fmt.Sprintf("==> %s, attempt %d <==", part.GetNode(), part.GetAttempt()+1)
	if heading != p.heading {
		if p.midLine {
			line(p.err, "")
		}
		line(p.err, "%s", heading)
		p.heading = heading
	}
	to := p.out
	if part.GetStream() == tminusv1.ReadLogsResponse_STREAM_STDERR {
		to = p.err
	}
	if len(part.GetData()) > 0 {
		p.midLine = part.GetData()[len(part.GetData())-1] != '\n'
	}
	_, err := to.Write(part.GetData())
	return err
}
