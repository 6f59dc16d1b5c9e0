package server

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	tminusv1 "tminus.dev/gen/tminus/v1"
	"tminus.dev/internal/ident"
)

// Follows is a Flyte whose launch plans are active here.
type Follows interface {
	// Following says how it goes.
	Following() Following
	// Follows says that the launch plans of a project are followed.
	Follows(project string) bool
	// Confirm says that what is held may go, and how many those are.
	Confirm() int
}

// Following is how a Flyte is followed.
type Following struct {
	// Schedules is how many are followed. Listed is when all were listed last, Asked when what changed was; zero means never.
	Schedules     int
	Listed, Asked time.Time
	// Problem is why that does not work at present; empty means that it does.
	Problem string
	// Held are launch plans that are active here and that Flyte does not know any more, or that are not followed any more.
	Held []ident.ID
	// Refused says of launch plans why they cannot fire.
	Refused map[ident.ID]string
	// Omitted is how many active launch plans the last list left out.
	Omitted int
	// Projects are those that are followed; none means all.
	Projects []string
}

// follows shows how a Flyte is followed.
type follows struct {
	tminusv1.UnimplementedFlyteServiceServer
	*Server
}

// unfollowed refuses what people would do to launch plans that are followed.
func (s *Server) unfollowed() error {
	if s.cfg.Follows == nil {
		return nil
	}
	return status.Errorf(codes.FailedPrecondition, "launch plans come from the Flyte at %s: register and activate them there", s.cfg.LaunchesOn)
}

func (s *follows) following() error {
	if s.cfg.Follows != nil {
		return nil
	}
	return status.Error(codes.FailedPrecondition, "no Flyte is followed: set source to flyte")
}

// GetFollowing says how a Flyte is followed.
func (s *follows) GetFollowing(context.Context, *tminusv1.GetFollowingRequest) (*tminusv1.GetFollowingResponse, error) {
	if err := s.following(); err != nil {
		return nil, err
	}
	f := s.cfg.Follows.Following()
	r := &tminusv1.GetFollowingResponse{
		Endpoint: s.cfg.LaunchesOn, Projects: f.Projects,
		Schedules: uint32(f.Schedules), ListedAt: instant(f.Listed), AskedAt: instant(f.Asked), Problem: f.Problem, Omitted: uint32(f.Omitted), //nolint:gosec // Not negative.
	}
	for _, id := range f.Held {
		r.Held = append(r.Held, followedPlan(id, ""))
	}
	for _, id := range slices.SortedFunc(maps.Keys(f.Refused), func(a, b ident.ID) int { return cmp.Compare(a.String(), b.String()) }) {
		r.Refused = append(r.Refused, followedPlan(id, f.Refused[id]))
	}
	return r, nil
}

func followedPlan(id ident.ID, reason string) *tminusv1.FollowedPlan {
	return &tminusv1.FollowedPlan{Project: id.Project, Domain: id.Domain, Name: id.Name, Version: id.Version, Reason: reason}
}

// ConfirmGone says that the launch plans which are held may go.
func (s *follows) ConfirmGone(context.Context, *tminusv1.ConfirmGoneRequest) (*tminusv1.ConfirmGoneResponse, error) {
	if err := s.following(); err != nil {
		return nil, err
	}
	return &tminusv1.ConfirmGoneResponse{LaunchPlans: uint32(s.cfg.Follows.Confirm())}, nil //nolint:gosec // Not negative.
}
