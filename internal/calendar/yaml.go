package calendar

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"tminus.dev/cron"
)

func parseYAML(name string, data []byte) ([]cron.Calendar, error) {
	none := errors.New("has no calendar: write a list of dates, or names with such lists")
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, none
	}
	var document yaml.Node
	if err := yaml.Load(data, &document); err != nil {
		return nil, err
	}
	root := &document
	if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = root.Content[0]
	}
	switch root.Kind {
	case yaml.SequenceNode:
		c, err := yamlCalendar(name, root)
		return []cron.Calendar{c}, err
	case yaml.MappingNode:
	default:
		return nil, none
	}
	var calendars []cron.Calendar
	seen := make(map[string]bool)
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, list := root.Content[i], root.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Value == "":
			return nil, fmt.Errorf("line %d: a calendar's name is a text", key.Line)
		case seen[key.Value]:
			return nil, fmt.Errorf("line %d: the calendar %s is there twice", key.Line, key.Value)
		}
		seen[key.Value] = true
		c, err := yamlCalendar(key.Value, list)
		if err != nil {
			return nil, err
		}
		calendars = append(calendars, c)
	}
	if calendars == nil {
		return nil, none
	}
	return calendars, nil
}

// yamlCalendar reads one list of dates.
func yamlCalendar(name string, list *yaml.Node) (cron.Calendar, error) {
	if list.Kind == yaml.AliasNode {
		list = list.Alias
	}
	if list.Kind != yaml.SequenceNode {
		return cron.Calendar{}, fmt.Errorf("line %d: %s: write a list of dates, each on a line that begins with -", list.Line, name)
	}
	var all dates
	for _, item := range list.Content {
		if item.Kind != yaml.ScalarNode {
			return cron.Calendar{}, fmt.Errorf("line %d: %s: use a date such as 2026-01-31", item.Line, name)
		}
		first, last, ranged := strings.Cut(item.Value, "/")
		if !ranged {
			last = first
		}
		from, err := parseDate(time.DateOnly, first)
		if err != nil && !ranged {
			err = fmt.Errorf("%w; a range of them is written 2026-12-24/2026-12-31", err)
		}
		if err != nil {
			return cron.Calendar{}, fmt.Errorf("line %d: %s: %w", item.Line, name, err)
		}
		to, err := parseDate(time.DateOnly, last)
		if err != nil {
			return cron.Calendar{}, fmt.Errorf("line %d: %s: %w", item.Line, name, err)
		}
		if to.Before(from) {
			return cron.Calendar{}, fmt.Errorf("line %d: %s: %q ends before it begins", item.Line, name, item.Value)
		}
		if err := all.add(from, to); err != nil {
			return cron.Calendar{}, fmt.Errorf("line %d: %s: %w", item.Line, name, err)
		}
	}
	if all == nil {
		return cron.Calendar{}, fmt.Errorf("line %d: %s has no dates", list.Line, name)
	}
	return cron.NewCalendar(name, all...), nil
}
