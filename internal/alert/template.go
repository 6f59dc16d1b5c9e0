package alert

import (
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"

	"tminus.dev/internal/ident"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

// The texts that are used where the configuration has none of its own.
const (
	defaultSubject = `[{{.From}}] {{.Summary}}`

	defaultBody = `{{define "notice"}}
{{.Kind}}  {{.Schedule}}
    what   {{.What}}
{{- if .Reason}}
    why    {{.Reason}}{{end}}
    since  {{instant .Since}}
{{- if not .EndedAt.IsZero}}
    over   {{instant .EndedAt}}{{if not .EndSlot.IsZero}}, with slot {{instant .EndSlot}}{{end}}{{if .EndReason}}: {{.EndReason}}{{end}}
{{- end}}
    look   {{.Look}}
{{end -}}
{{define "section"}}{{range .Alerts}}{{template "notice" .}}{{end}}{{if .Rest}}
… and {{.Rest}} more
{{end}}{{end -}}
{{.Summary}}
{{if .Began.Count}}
BEGAN ({{.Began.Count}})
{{template "section" .Began}}{{end}}{{if .Lasting.Count}}
STILL LASTING ({{.Lasting.Count}})
{{template "section" .Lasting}}{{end}}{{if .Ended.Count}}
RECOVERED ({{.Ended.Count}})
{{template "section" .Ended}}{{end}}
{{"-- "}}
{{.From}}, {{instant .At}}, notification {{.ID}}
`

	defaultSlack = `{{define "notice"}}• *{{.Kind}}* {{.Schedule}}: {{.What}}, since {{instant .Since}}{{if .Reason}}
   _why_ {{.Reason}}{{end}}{{if not .EndedAt.IsZero}}
   _over_ {{instant .EndedAt}}{{if .EndReason}}: {{.EndReason}}{{end}}{{end}}
   ` + "`{{.Look}}`" + `
{{end -}}
{{define "section"}}{{range .Alerts}}{{template "notice" .}}{{end}}{{if .Rest}}… and {{.Rest}} more
{{end}}{{end -}}
*[{{.From}}] {{.Summary}}*
{{if .Began.Count}}:rotating_light: *Began* ({{.Began.Count}})
{{template "section" .Began}}{{end}}{{if .Lasting.Count}}:hourglass: *Still lasting* ({{.Lasting.Count}})
{{template "section" .Lasting}}{{end}}{{if .Ended.Count}}:white_check_mark: *Recovered* ({{.Ended.Count}})
{{template "section" .Ended}}{{end}}`

	defaultIncident = `[{{.From}}] {{.Summary}}`
)

// text is a template of the configuration, with the one to use when it fails.
type text struct {
	key           string
	own, fallback *template.Template
}

// parseText reads the template of a key; source "" means the default. A bad one
// is an *invalid.Error: one that does not parse, or fails on one of the samples.
func parseText(key, source, fallback string) (text, error) {
	t := text{key: key}
	var err error
	if t.fallback, err = parse(fallback); err != nil {
		return text{}, invalid.Field(key, "default: %v", err)
	}
	t.own = t.fallback
	if source == "" {
		return t, nil
	}
	if t.own, err = parse(source); err != nil {
		return text{}, invalid.Field(key, "%v", err)
	}
	for _, n := range samples() {
		if _, err := execute(t.own, n); err != nil {
			return text{}, invalid.Field(key, "%v", err)
		}
	}
	return t, nil
}

func parse(source string) (*template.Template, error) {
	return template.New("text").Funcs(template.FuncMap{"instant": instant}).Option("missingkey=error").Parse(source)
}

func execute(t *template.Template, n Notification) (string, error) {
	var b strings.Builder
	if err := t.Execute(&b, n); err != nil {
		return "", err
	}
	if strings.TrimSpace(b.String()) == "" {
		return "", errors.New("the text is empty")
	}
	return b.String(), nil
}

// render is the text for n. A template that fails after all must not keep
// people from being told: then it is the default's text, with the error.
func (t text) render(n Notification) string {
	s, err := execute(t.own, n)
	if err == nil {
		return s
	}
	if s, e := execute(t.fallback, n); e == nil {
		return fmt.Sprintf("%s\n(template %s: %v)", s, t.key, err)
	}
	return n.Summary
}

// samples are notifications of every shape.
func samples() []Notification {
	at := time.Date(2026, 1, 31, 9, 0, 0, 0, time.UTC)
	var began, ended []store.Alert
	for _, k := range kinds {
		a := store.Alert{
			AlertID: store.AlertID{Schedule: ident.Key{Project: "default", Domain: "production", Name: "nightly-report"}, Kind: k},
			Slot:    at, Since: at, Count: 2, Reason: "unavailable: connection refused",
		}
		if k == store.AlertLate {
			a.Lateness, a.Limit = 10*time.Minute, 5*time.Minute
		}
		began = append(began, a)
		a.EndedAt, a.EndSlot, a.EndReason = at.Add(time.Hour), at.Add(time.Hour), "deactivated"
		ended = append(ended, a)
	}
	all := []Notification{notification("SAMPLE", "tminus", at, began, began, ended, 1)}
	for i := range began {
		all = append(all,
			notification("SAMPLE", "tminus", at, began[i:i+1], nil, nil, 1),
			notification("SAMPLE", "tminus", at, nil, began[i:i+1], nil, 1),
			notification("SAMPLE", "tminus", at, nil, nil, ended[i:i+1], 1))
	}
	return all
}
