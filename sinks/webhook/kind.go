package webhook

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/tlsfile"
	"github.com/voxelstream/voxelstream/sinks"
)

// Kind is an HTTP endpoint.
var Kind = sinks.Kind{
	Name:    "webhook",
	Schemes: []string{"webhook+https", "webhook+http"},
	Doc: "An HTTP endpoint that receives batches by POST, over HTTPS or, with `webhook+http:`, without TLS. The body " +
		"is a JSON array of classifications, or one JSON object per line ([schema](classification.schema.json)). The " +
		"endpoint answers with a status from 200 to 299 when it has stored the batch.\n\n" +
		"A batch that was not stored, because of a lost connection, a time-out or another status, is sent again with " +
		"the same `Idempotency-Key`, which depends only on the classifications in it. `Retry-After` is respected, for " +
		"at most an hour. After 400, 413 or 422, the batch is divided, and classifications that are refused on their " +
		"own become dead letters. Redirects are followed with status 307 and 308, and only on the same host.\n\n" +
		"With `secret`, requests are signed as in [Standard Webhooks](https://www.standardwebhooks.com): " +
		"`webhook-signature` is `v1,` and the Base64 of the HMAC-SHA256 of `webhook-id`, `webhook-timestamp` and the " +
		"body, joined by dots. The environment variables `HTTPS_PROXY` and `HTTP_PROXY` set the proxy.",
	Guarantee: sinks.AtLeastOnce,
	Path:      "//HOST[:PORT]/PATH",
	Options: func(sinks.Target) any {
		return &Options{Format: FormatJSON, Timeout: 30 * time.Second, Window: 1 << 18}
	},
	Flush: &sinks.Flush{Rows: 500, Bytes: 1 << 20, Every: time.Second},
	Resolve: func(t *sinks.Target, _ sinks.Defaults) (string, error) {
		u, err := address(*t)
		if err != nil {
			return "", err
		}
		return "webhook+" + u.Scheme + "://" + strings.ToLower(u.Host) + u.EscapedPath(), nil
	},
	Open: func(_ context.Context, t sinks.Target, options any, services sinks.Services) (sinks.Sink, error) {
		s, err := Open(t, *options.(*Options))
		if err != nil {
			return nil, err
		}
		s.report = services.Repeat
		return s, nil
	},
}

// Options are the options of the endpoint.
type Options struct {
	Format  Format          `yaml:"format" doc:"Body of a request."`
	Query   string          `yaml:"query" secret:"true" doc:"Query of the endpoint's URL, percent-encoded: token%3Dabc."`
	Secret  string          `yaml:"secret" secret:"true" doc:"Key for signatures: Base64 of 24 to 64 bytes, with or without the prefix whsec_."`
	Token   string          `yaml:"token" secret:"true" doc:"Token for the header Authorization: Bearer TOKEN."`
	Header  string          `yaml:"header" secret:"true" doc:"Additional header for each request, as NAME: VALUE."`
	TLS     tlsfile.Options `yaml:",inline"`
	Timeout time.Duration   `yaml:"timeout" above:"0s" doc:"Maximum time for a request and its response."`
	Window  int             `yaml:"window" min:"1" max:"1000000000" doc:"Number of recent classifications to remember for deduplication, at 24 to 32 bytes each."`
}

// Format is the format of a body.
type Format string

// The formats: an array, or a line per classification.
const (
	FormatJSON   Format = "json"
	FormatNDJSON Format = "ndjson"
)

// Choices returns all formats.
func (Format) Choices() []string { return []string{string(FormatJSON), string(FormatNDJSON)} }

// address returns the URL of the endpoint.
func address(t sinks.Target) (*url.URL, error) {
	scheme := "https"
	if t.Scheme == "webhook+http" {
		scheme = "http"
	}
	u, err := url.Parse(scheme + ":" + t.Path)
	if err != nil || !strings.HasPrefix(t.Path, "//") || u.Hostname() == "" || u.Fragment != "" {
		// The text could contain the password.
		return nil, errors.New("found an invalid URL, want webhook://HOST/PATH, in which special characters are " +
			"percent-encoded")
	}
	return u, nil
}
