package server

import (
	"context"
	"runtime/debug"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tminus.dev/gen/flyteidl/admin"
	"tminus.dev/gen/flyteidl/service"
)

// GetVersion returns what the server was built from.
func (a *adminService) GetVersion(context.Context, *admin.GetVersionRequest) (*admin.GetVersionResponse, error) {
	v := &admin.Version{Version: a.cfg.Version}
	if build, ok := debug.ReadBuildInfo(); ok {
		for _, setting := range build.Settings {
			switch setting.Key {
			case "vcs.revision":
				v.Build = setting.Value
			case "vcs.time":
				v.BuildTime = setting.Value
			}
		}
	}
	return &admin.GetVersionResponse{ControlPlaneVersion: v}, nil
}

// authMetadata answers clients that ask how to log in. A flyteadmin without
// authentication does not have this service at all, so Unimplemented is what
// its clients understand.
type authMetadata struct {
	service.UnimplementedAuthMetadataServiceServer
}

var errNoLogin = status.Error(codes.Unimplemented, "authentication is not enabled: call without a token")

// GetOAuth2Metadata says that there is no authorization server.
func (*authMetadata) GetOAuth2Metadata(context.Context, *service.OAuth2MetadataRequest) (*service.OAuth2MetadataResponse, error) {
	return nil, errNoLogin
}

// GetPublicClientConfig says that there is nothing to log in to.
func (*authMetadata) GetPublicClientConfig(context.Context, *service.PublicClientAuthConfigRequest) (*service.PublicClientAuthConfigResponse, error) {
	return nil, errNoLogin
}

// identity answers who the caller is.
type identity struct {
	service.UnimplementedIdentityServiceServer
}

// UserInfo is empty: nobody has logged in.
func (*identity) UserInfo(context.Context, *service.UserInfoRequest) (*service.UserInfoResponse, error) {
	return &service.UserInfoResponse{}, nil
}
