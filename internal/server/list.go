package server

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/internal/invalid"
	"tminus.dev/internal/store"
)

const (
	// defaultLimit is how many records a list returns when it is not said.
	defaultLimit = 100
	// maxLimit is the most; who wants more asks for the next page.
	maxLimit = 1000
	// maxPage is the size in bytes at which a page ends before its limit:
	// gRPC's clients take answers of 4 MiB.
	maxPage = 3 << 20
	// maxChunk is how many records are read at once, so that a page of huge ones does not fill the memory first.
	maxChunk = 100
)

// listRequest is what the requests for lists have in common.
type listRequest interface {
	GetLimit() uint32
	GetToken() string
}

// query is what r asks of the database. A token is, as in Flyte, the number of records to leave out.
func query(r listRequest) (store.Query, error) {
	q := store.Query{Limit: defaultLimit}
	if n := r.GetLimit(); n > maxLimit {
		return q, invalid.Field("limit", "is %d; %d is the most, and the answer's token asks for what follows", n, maxLimit)
	} else if n > 0 {
		q.Limit = int(n)
	}
	if token := r.GetToken(); token != "" {
		n, err := strconv.ParseUint(token, 10, 31)
		if err != nil {
			return q, invalid.Field("token", "%q: use the token of an earlier answer, unchanged, or none", short(token, 40))
		}
		q.Offset = int(n)
	}
	if f, ok := r.(interface{ GetFilters() string }); ok {
		var err error
		if q.Filters, err = parseFilters(f.GetFilters()); err != nil {
			return q, err
		}
	}
	if s, ok := r.(interface{ GetSortBy() *admin.Sort }); ok {
		key := s.GetSortBy().GetKey()
		if key != "" {
			if problem := fieldNameProblem(key); problem != "" {
				return q, invalid.Field("sort_by.key", "%q %s", short(key, maxFieldName), problem)
			}
		}
		direction := s.GetSortBy().GetDirection()
		if err := checkEnum("sort_by.direction", direction); err != nil {
			return q, err
		}
		q.SortBy, q.Ascending = key, direction == admin.Sort_ASCENDING
	}
	return q, nil
}

// page fetches the records of q and renders them, until the limit or until the
// page is large enough. The token asks for what follows, and is empty when nothing does.
func page[R any, M proto.Message](
	ctx context.Context, q store.Query, fetch func(context.Context, store.Query) ([]R, error), render func(R) (M, error),
) (messages []M, token string, err error) {
	size := 0
	for want := q.Limit; ; {
		chunk := min(want-len(messages), maxChunk)
		q.Limit = chunk + 1 // One more tells whether anything follows.
		records, err := fetch(ctx, q)
		if errors.Is(err, store.ErrBadQuery) {
			return nil, "", blame(q, err)
		}
		if err != nil {
			return nil, "", err
		}
		for i, r := range records[:min(len(records), chunk)] {
			m, err := render(r)
			if err != nil {
				return nil, "", err
			}
			if size += proto.Size(m); size > maxPage && len(messages) > 0 {
				return messages, strconv.Itoa(q.Offset + i), nil
			}
			messages = append(messages, m)
		}
		switch {
		case len(records) <= chunk:
			return messages, "", nil
		case len(messages) == want:
			return messages, strconv.Itoa(q.Offset + chunk), nil
		}
		q.Offset += chunk
	}
}

// blame names the field of the request that the database does not take.
func blame(q store.Query, err error) error {
	field := "filters"
	filtered := slices.ContainsFunc(q.Filters, func(f store.Filter) bool { return f.Field == q.SortBy })
	if q.SortBy != "" && !filtered && strings.Contains(err.Error(), strconv.Quote(q.SortBy)) {
		field = "sort_by.key"
	}
	_, problem, _ := strings.Cut(err.Error(), store.ErrBadQuery.Error()+": ")
	return invalid.Field(field, "%s", problem)
}

// all is a query without a limit of its own, for the few lists that Flyte does not limit.
func all(q store.Query) store.Query {
	q.Limit = math.MaxInt32
	return q
}
