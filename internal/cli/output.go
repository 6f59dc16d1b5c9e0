package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v4"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A format is how a command prints its answer.
type format string

const (
	table      format = "table"
	jsonFormat format = "json"
	yamlFormat format = "yaml"
)

func (f format) check(cmd *cobra.Command) error {
	switch f {
	case table, jsonFormat, yamlFormat:
		return nil
	default:
		return misused(cmd, "--output %q: use table, json or yaml", string(f))
	}
}

// print writes v, for programs, or what people gets written to, as the format asks.
func (f format) print(cmd *cobra.Command, v any, people func(w io.Writer)) error {
	if f == table {
		tabs := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		people(tabs)
		return tabs.Flush()
	}
	b, err := encode(v)
	if err != nil {
		return fmt.Errorf("print as %s: %w", f, err)
	}
	var indented bytes.Buffer
	if err := json.Indent(&indented, b, "", "  "); err != nil {
		return fmt.Errorf("print as %s: %w", f, err)
	}
	if f == yamlFormat {
		var tree yaml.Node
		if err := yaml.Load(indented.Bytes(), &tree); err != nil {
			return fmt.Errorf("print as %s: %w", f, err)
		}
		plain(&tree)
		if b, err = yaml.Dump(&tree); err != nil {
			return fmt.Errorf("print as %s: %w", f, err)
		}
		_, err = cmd.OutOrStdout().Write(b)
		return err
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), indented.String())
	return err
}

// plain drops the style of JSON from a tree: its braces and quotation marks.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, child := range n.Content {
		plain(child)
	}
}

// encode writes v as JSON: messages as protojson does, which json.Indent
// afterwards makes the same every time.
func encode(v any) (json.RawMessage, error) {
	if m, ok := v.(proto.Message); ok {
		return protojson.Marshal(m)
	}
	return json.Marshal(v)
}

// A message is a protobuf message within other JSON.
type message struct{ proto.Message }

// MarshalJSON writes it as protojson does.
func (m message) MarshalJSON() ([]byte, error) { return encode(m.Message) }

// row writes the cells of a table's line. A tabwriter keeps its error for Flush.
func row(w io.Writer, cells ...string) {
	for i, cell := range cells {
		if cell == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(w, strings.Join(cells, "\t"))
}

// field writes a line of a description.
func field(w io.Writer, name, value string) {
	if value != "" {
		fmt.Fprintf(w, "%s:\t%s\n", name, value)
	}
}

// line writes a line without columns.
func line(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

// stamp is a time for a table: RFC 3339 in UTC, and how far off it is.
func stamp(t *timestamppb.Timestamp) string {
	if t == nil || t.GetSeconds() == 0 {
		return ""
	}
	return moment(t.AsTime())
}

func moment(t time.Time) string {
	return t.UTC().Format(time.RFC3339) + " (" + relative(t, time.Now()) + ")"
}

// relative is how far t is from now, in its two largest units: in 42s, 3h 5m ago.
func relative(t, now time.Time) string {
	switch d := t.Sub(now); {
	case d >= time.Second:
		return "in " + span(d)
	case d > -time.Second:
		return "now"
	default:
		return span(-d) + " ago"
	}
}

// span is d in its two largest units, down to seconds.
func span(d time.Duration) string {
	units := []struct {
		name string
		size time.Duration
	}{{"d", 24 * time.Hour}, {"h", time.Hour}, {"m", time.Minute}, {"s", time.Second}}
	d = d.Truncate(time.Second)
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/u.size, u.name)
		if rest := d % u.size; i+1 < len(units) && rest >= units[i+1].size {
			text += fmt.Sprintf(" %d%s", rest/units[i+1].size, units[i+1].name)
		}
		return text
	}
	return "0s"
}

// lasted is how long something took: milliseconds for what is short.
func lasted(d time.Duration) string {
	if d < 10*time.Second {
		return d.Round(time.Millisecond).String()
	}
	return span(d)
}

// Print writes an answer of a command beside those of this package: v for
// programs, or what people writes, in the format that --output asks for.
func Print(cmd *cobra.Command, v any, people func(w io.Writer)) error {
	f := format(cmd.Flag("output").Value.String())
	return f.print(cmd, v, people)
}
