package cli

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tminus.dev/internal/manifest"
)

const (
	// dryRunSlots is how many slots a dry run shows of each launch plan.
	dryRunSlots = 5
	// diffSlots is how many slots of each side a difference shows.
	diffSlots = 10
)

func (c *client) applyCommand() *cobra.Command {
	var (
		files  []string
		diff   bool
		reason string
		o      manifest.Options
	)
	cmd := &cobra.Command{
		Use:   "apply -f FILE|DIRECTORY|-",
		Short: "Register and activate the launch plans of manifests",
		Long: `Register and activate the launch plans of manifests, with the workflows they launch.

A manifest is YAML (several documents are fine), a directory of such files, or - for standard input.
A package that 'pyflyte package' wrote (.tgz), or the .pb files in it, are taken as well: --activate then
activates the launch plans that have a schedule. Applying the same again changes nothing.

--project, --domain and --version are for what does not say its own.`,
		Example: `  tminus apply -f nightly.yaml
  tminus apply -f schedules/ --dry-run
  tminus apply -f schedules/ --diff
  tminus apply -f flyte-package.tgz --version v7 --activate`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return misused(cmd, "unexpected argument %q; did you mean -f %s?", args[0], args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if len(files) == 0 {
				return misused(cmd, "-f is missing: name a file, a directory, or - for standard input")
			}
			o.Project, o.Domain, o.Stdin, o.Slots = c.project, c.domain, cmd.InOrStdin(), 1
			switch {
			case diff:
				o.DryRun, o.Diff = true, diffSlots
			case o.DryRun:
				o.Slots = dryRunSlots
			}
			return c.with(func(s *connection) error {
				report, err := manifest.Apply(withReason(cmd.Context(), reason), s, files, o)
				if err != nil {
					return err
				}
				return c.report(cmd, report)
			})
		},
	}
	cmd.Flags().StringArrayVarP(&files, "file", "f", nil, "manifest, package or directory; - is standard input; repeatable")
	cmd.Flags().StringVar(&o.Version, "version", "", "version for what has none of its own (default: a hash of the content)")
	cmd.Flags().BoolVar(&o.Activate, "activate", false, "activate the scheduled launch plans of packages")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing; say what would change, and the next slots")
	cmd.Flags().BoolVar(&diff, "diff", false, "change nothing; compare the next slots before and after")
	reasonFlag(cmd, &reason)
	return cmd
}

// report prints what became of each document, and why some failed.
func (c *client) report(cmd *cobra.Command, report manifest.Report) error {
	err := c.format.print(cmd, report, func(w io.Writer) {
		if !slices.ContainsFunc(report.Results, hasRow) {
			return
		}
		row(w, "NAME", "VERSION", "CHANGE", "NEXT")
		for _, r := range report.Results {
			if !hasRow(r) {
				continue
			}
			next := ""
			if len(r.Next) > 0 {
				next = moment(r.Next[0])
			}
			row(w, r.Name, r.Version, changes(r, report.DryRun), next)
			for _, slot := range r.Next[min(1, len(r.Next)):] {
				fmt.Fprintf(w, "\t\t\t%s\n", moment(slot))
			}
		}
		for _, r := range report.Results {
			if r.Diff != nil {
				line(w, "\n%s:", r.Name)
				describeDiff(w, r.Diff, diffSlots)
			}
		}
	})
	for _, r := range report.Results {
		for _, warning := range r.Warnings {
			line(cmd.ErrOrStderr(), "warning: %s: %s", r.Name, warning)
		}
	}
	failed := report.Failed()
	if failed == 0 {
		return err
	}
	for _, r := range report.Results {
		if r.Err != nil {
			line(cmd.ErrOrStderr(), "%s", failure(c.unreachable, r))
		}
	}
	line(cmd.ErrOrStderr(), "tminus: %d of %d failed", failed, len(report.Results))
	return errors.Join(err, ErrReported)
}

// hasRow says that a result is in the table: not everything that is wrong has a name.
func hasRow(r manifest.Result) bool { return r.Err == nil && r.Name != "" }

// failure is why a result failed: problems name their places themselves.
func failure(unreachable func(error) error, r manifest.Result) string {
	if _, ok := errors.AsType[manifest.ProblemsError](r.Err); ok {
		return r.Err.Error()
	}
	text := explain(unreachable(r.Err))
	if strings.HasPrefix(text, r.File) {
		return text
	}
	if r.Name != "" {
		text = r.Kind + " " + r.Name + ": " + text
	}
	return r.String() + ": " + text
}

// changes says in a few words what changed, or would.
func changes(r manifest.Result, dry bool) string {
	if !r.Changed() {
		return "unchanged"
	}
	var words []string
	switch {
	case r.Registration == manifest.Created:
		words = append(words, "created")
	case len(r.Others) > 0 && r.Activation == "":
		words = append(words, "registered")
	}
	switch {
	case r.Activation == manifest.Activated && r.Was != "":
		words = append(words, "activated (was "+r.Was+")")
	case r.Activation == manifest.Activated, r.Activation == manifest.Deactivated:
		words = append(words, string(r.Activation))
	case r.Registration == manifest.Created && r.Was != "":
		words = append(words, "not activated ("+r.Was+" stays)")
	case r.Registration == manifest.Created && r.Kind == "launch plan":
		words = append(words, "not activated")
	}
	if r.Description == manifest.Updated && r.Registration != manifest.Created {
		words = append(words, "described")
	}
	text := strings.Join(words, ", ")
	if dry {
		return "would be " + text
	}
	return text
}
