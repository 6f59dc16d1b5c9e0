package aws

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/smithy-go/logging"
)

// entry is what AWS holds, or is to hold, for one schedule.
type entry struct {
	name, description string
	expression        Expression
	disabled          bool
	// target is the ARN of the queue, role that of the role, body the template or the input.
	target, role, body string
	// besides is what is there and would not be if tminus had put it, in words; put knows nothing of it.
	besides []string
}

// service is an API of AWS that keeps time. Its errors are those of the SDK.
type service interface {
	// put makes e what is held under its name. It may be repeated.
	put(ctx context.Context, e entry) error
	// remove has nothing held under a name; it is no error if nothing is.
	remove(ctx context.Context, name string) error
	// describe is the description of what is held under a name, which tells whose it is; ok is false where nothing is.
	describe(ctx context.Context, name string) (description string, ok bool, err error)
	// look is what is held under a name; ok is false where nothing is.
	look(ctx context.Context, name string) (e entry, ok bool, err error)
	// list visits the names of all that begin with a prefix.
	list(ctx context.Context, prefix string, visit func(name string)) error
}

// session is the SDK's configuration for a region: its own chain of credentials,
// and few retries, as those who call try again for as long as it takes.
func session(ctx context.Context, region string, client *awshttp.BuildableClient, log *slog.Logger) (sdk.Config, error) {
	cfg, err := config.LoadDefaultConfig(ctx,
		config.WithRegion(region),
		config.WithHTTPClient(client),
		config.WithLogger(logging.LoggerFunc(func(_ logging.Classification, format string, args ...any) {
			log.DebugContext(ctx, "the SDK of AWS says something", slog.String("said", fmt.Sprintf(format, args...)))
		})),
		config.WithRetryer(func() sdk.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = 2, time.Second })
		}),
	)
	if err != nil {
		return cfg, fmt.Errorf("read the configuration of AWS: %w", err)
	}
	return cfg, nil
}

// httpClient keeps enough connections for so many requests at once, each of which ends within a time.
// It is the SDK's, as AWS_CA_BUNDLE and the like are for that alone.
func httpClient(connections int, timeout time.Duration) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTimeout(timeout).WithTransportOptions(func(t *http.Transport) {
		t.MaxIdleConns, t.MaxIdleConnsPerHost = connections, connections
	})
}

// endpoint is the base of an API's URLs; nil means AWS's own.
func endpoint(url string) *string {
	if url == "" {
		return nil
	}
	return &url
}
