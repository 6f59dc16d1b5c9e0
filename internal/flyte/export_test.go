package flyte

import (
	"context"
	"io"
)

// LoginWith is Login with another browser.
func LoginWith(ctx context.Context, c Config, out io.Writer, browser func(ctx context.Context, url string) error) error {
	return login(ctx, c, out, browser)
}

// CacheFile is where the token for an endpoint is kept.
func CacheFile(endpoint string) (string, error) {
	c, err := cacheOf(endpoint)
	return c.file, err
}
