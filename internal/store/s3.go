package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// s3 is a bucket with the API of Amazon S3, which Google's API for XML is too.
type s3 struct {
	client    *minio.Client
	transport *http.Transport
	bucket    string
	// advice says which credentials to check.
	advice string
	// unconditional is set if the server refuses conditional writes.
	unconditional atomic.Bool
}

// digestKey is the key of the metadata with the SHA-256 of an object.
const digestKey = "Sha256"

// roleOfMachine are the credentials of the role of a machine or container. On machines without one, nothing answers at
// the address of the server that knows it, which is in the machine's own network.
func roleOfMachine() []credentials.Provider {
	if os.Getenv("AWS_EC2_METADATA_DISABLED") == "true" && os.Getenv("AWS_WEB_IDENTITY_TOKEN_FILE") == "" &&
		os.Getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") == "" &&
		os.Getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI") == "" {
		return nil
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DialContext = (&net.Dialer{Timeout: time.Second}).DialContext
	return []credentials.Provider{&credentials.IAM{Client: &http.Client{Transport: t, Timeout: 10 * time.Second}}}
}

const adviceAWS = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, choose a profile with profile=NAME, or read a " +
	"public bucket with anonymous=true"

// openS3 opens a bucket of S3 or of a server with the same API.
func openS3(_ context.Context, p Place, o Options) (bucket, error) {
	o.Endpoint = cmp.Or(o.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"),
		"https://s3.amazonaws.com")
	o.Region = cmp.Or(o.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	var chain *credentials.Credentials
	switch {
	case o.Anonymous:
		chain = credentials.NewStaticV4("", "", "")
	case o.AccessKey != "":
		chain = credentials.NewStaticV4(o.AccessKey, o.SecretKey, "")
	default:
		providers := []credentials.Provider{&credentials.FileAWSCredentials{Profile: o.Profile}}
		if o.Profile == "" {
			providers = slices.Concat([]credentials.Provider{&credentials.EnvAWS{}}, providers, roleOfMachine())
		}
		chain = credentials.NewChainCredentials(providers)
		v, err := chain.GetWithContext(&credentials.CredContext{Client: http.DefaultClient})
		if err == nil && v.AccessKeyID == "" {
			err = errors.New("found no credentials")
		}
		if err != nil {
			return nil, fmt.Errorf("%w; %s", err, adviceAWS)
		}
	}
	return newS3(p, o, chain, nil)
}

const adviceGCS = "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account, run gcloud auth " +
	"application-default login, or read a public bucket with anonymous=true"

// scopeGCS allows to read and write objects.
const scopeGCS = "https://www.googleapis.com/auth/devstorage.read_write"

// openGCS opens a bucket of Google Cloud Storage. With an HMAC key, its API for XML takes requests that are signed as
// for S3. Otherwise they carry a token.
func openGCS(ctx context.Context, p Place, o Options) (bucket, error) {
	o.Endpoint = cmp.Or(o.Endpoint, "https://storage.googleapis.com")
	o.Region = cmp.Or(o.Region, "auto")
	if o.AccessKey != "" {
		b, err := newS3(p, o, credentials.NewStaticV4(o.AccessKey, o.SecretKey, ""), nil)
		if err == nil {
			// Its header for conditional writes must not be combined with those of S3 that the signature needs.
			b.unconditional.Store(true)
		}
		return b, err
	}
	anonymous := credentials.NewStaticV4("", "", "")
	wrap := func(base http.RoundTripper) http.RoundTripper { return &googleHeaders{base} }
	if !o.Anonymous {
		c, err := google.FindDefaultCredentials(context.WithoutCancel(ctx), scopeGCS)
		if err != nil {
			return nil, fmt.Errorf("found no credentials; %s", adviceGCS)
		}
		wrap = func(base http.RoundTripper) http.RoundTripper {
			return &oauth2.Transport{Source: c.TokenSource, Base: &googleHeaders{base}}
		}
	}
	return newS3(p, o, anonymous, wrap)
}

// googleHeaders translates headers of S3 to those of Google.
type googleHeaders struct{ base http.RoundTripper }

func (g *googleHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	if r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "*" {
		r.Header.Del("If-None-Match")
		r.Header.Set("X-Goog-If-Generation-Match", "0")
	}
	renameHeaders(r.Header, "X-Amz-", "X-Goog-")
	resp, err := g.base.RoundTrip(r)
	if err == nil {
		renameHeaders(resp.Header, "X-Goog-Meta-", "X-Amz-Meta-")
	}
	return resp, err
}

func renameHeaders(h http.Header, from, to string) {
	for name, values := range h {
		if rest, ok := strings.CutPrefix(name, from); ok {
			delete(h, name)
			h[to+rest] = values
		}
	}
}

// newS3 makes a client. wrap, if not nil, wraps its transport.
func newS3(p Place, o Options, c *credentials.Credentials,
	wrap func(http.RoundTripper) http.RoundTripper,
) (*s3, error) {
	u, err := url.Parse(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("endpoint: found %q, want http://HOST:PORT or https://HOST", o.Endpoint)
	}
	secure := u.Scheme != "http"
	transport, err := minio.DefaultTransport(secure)
	if err != nil {
		return nil, err
	}
	var t http.RoundTripper = transport
	if wrap != nil {
		t = wrap(transport)
	}
	client, err := minio.New(u.Host, &minio.Options{
		Creds: c, Secure: secure, Region: o.Region, Transport: t, MaxRetries: 5,
	})
	if err != nil {
		return nil, err
	}
	advice := adviceAWS
	if p.Scheme == GCS {
		advice = adviceGCS
	}
	return &s3{client: client, transport: transport, bucket: p.Bucket, advice: advice}, nil
}

func (s *s3) close() { s.transport.CloseIdleConnections() }

func (s *s3) put(ctx context.Context, key, path, digest string, create bool) error {
	// Every request carries the MD5 of its content, which all servers check.
	o := minio.PutObjectOptions{SendContentMd5: true, UserMetadata: map[string]string{digestKey: digest}}
	if create && s.unconditional.Load() {
		_, err := s.client.StatObject(ctx, s.bucket, key, minio.StatObjectOptions{})
		if err = s.failed(err); !errors.Is(err, fs.ErrNotExist) {
			return cmp.Or(err, fs.ErrExist)
		}
	} else if create {
		o.SetMatchETagExcept("*")
		o.DisableMultipart = true // not all servers check the condition when parts are put together
	}
	_, err := s.client.FPutObject(ctx, s.bucket, key, path, o)
	err = s.failed(err)
	f, ok := errors.AsType[*failure](err)
	if ok && f.status == http.StatusNotImplemented && create && !s.unconditional.Swap(true) {
		return s.put(ctx, key, path, digest, create)
	}
	return err
}

func (s *s3) get(ctx context.Context, key string, begin func(size int64) (io.Writer, error),
) (digest string, err error) {
	o, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return "", s.failed(err)
	}
	defer o.Close() //nolint:errcheck // read only
	info, err := o.Stat()
	if err != nil {
		return "", s.failed(err)
	}
	w, err := begin(info.Size)
	if err != nil {
		return "", err
	}
	n, err := io.Copy(w, o)
	if err == nil && n != info.Size {
		err = fmt.Errorf("found %d bytes, want %d", n, info.Size)
	}
	return info.UserMetadata[digestKey], s.failed(err)
}

func (s *s3) list(ctx context.Context, prefix string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		o := minio.ListObjectsOptions{Prefix: prefix, Recursive: true}
		for o := range s.client.ListObjectsIter(ctx, s.bucket, o) {
			if !yield(File{Name: o.Key, Size: o.Size}, s.failed(o.Err)) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(File{}, err)
		}
	}
}

func (s *s3) remove(ctx context.Context, key string) error {
	err := s.failed(s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// failed converts an error of the client.
func (s *s3) failed(err error) error {
	r, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return err
	}
	f := &failure{code: r.Code, message: r.Message, status: r.StatusCode}
	switch r.Code {
	case "NoSuchKey":
		return fs.ErrNotExist
	case "PreconditionFailed":
		return fs.ErrExist
	case "NoSuchBucket":
		f.advice = "create the bucket " + s.bucket + " or correct its name; a bucket elsewhere needs endpoint=URL"
	case "AccessDenied", "AllAccessDisabled", "AccountProblem":
		f.advice = "the credentials must allow to list the bucket " + s.bucket +
			" and to read, write and delete objects"
	case "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthenticationRequired":
		f.advice = "the server does not accept the credentials; " + s.advice
	case "AuthorizationHeaderMalformed", "PermanentRedirect", "InvalidRegion", "IllegalLocationConstraintException":
		f.advice = "the region is wrong; leave region out"
		if r.Region != "" {
			f.advice = "the bucket is in another region; set region=" + r.Region
		}
	}
	return f
}
