package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/voxelstream/voxelstream/internal/durable"
	"github.com/voxelstream/voxelstream/internal/option"
)

// Schemes of object stores.
const (
	S3    = "s3"
	GCS   = "gs"
	Azure = "azblob"
)

// Place is a bucket of an object store, or a container of Azure, and what the names of its objects begin with.
type Place struct {
	// Scheme is S3, GCS or Azure.
	Scheme, Bucket string
	// Prefix is empty or a path without slashes at its ends.
	Prefix string
}

// maxBucket is the length of the longest name of a bucket: one of Google's with dots.
const maxBucket = 222

// bucketForm matches the names of buckets and containers of all stores.
var bucketForm = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]+[a-z0-9]$`)

// ParsePlace parses what follows the scheme in a URL: //BUCKET/PREFIX.
func ParsePlace(scheme, path string) (Place, error) {
	rest, ok := strings.CutPrefix(path, "//")
	if !ok {
		return Place{}, fmt.Errorf("found %s:%s, want %s://BUCKET/PATH", scheme, path, scheme)
	}
	bucket, prefix, _ := strings.Cut(rest, "/")
	p := Place{Scheme: scheme, Bucket: bucket, Prefix: strings.Trim(prefix, "/")}
	if len(bucket) > maxBucket || !bucketForm.MatchString(bucket) {
		return Place{}, fmt.Errorf("found the bucket %q, want 3 to 222 lower case letters, digits, dots or dashes",
			bucket)
	}
	if p.Prefix != "" && check(p.Prefix) != nil {
		return Place{}, fmt.Errorf("found the path %q, want names between single slashes that do not begin with a dot",
			prefix)
	}
	return p, nil
}

func (p Place) String() string {
	return strings.TrimSuffix(p.Scheme+"://"+p.Bucket+"/"+p.Prefix, "/")
}

// Options are the options of object stores.
type Options struct {
	Endpoint string `yaml:"endpoint" doc:"URL of the server, for stores other than Amazon's, Google's and Microsoft's: http://localhost:9000. Default for s3: AWS_ENDPOINT_URL_S3 or AWS_ENDPOINT_URL."`
	Region   string `yaml:"region" doc:"Region of the bucket, for s3. Default: AWS_REGION, otherwise the server is asked."`
	Profile  string `yaml:"profile" doc:"Profile in the credentials files of AWS, for s3. Default: AWS_PROFILE."`
	// AccessKey is the name of the account with Azure.
	AccessKey string `yaml:"access_key" doc:"Access key ID. For gs, that of an HMAC key. For azblob, the name of the storage account. By default, the credentials are those of the environment. For s3: AWS_ACCESS_KEY_ID, the files of AWS or the role of the machine. For gs: application default credentials. For azblob: AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN."`
	SecretKey string `yaml:"secret_key" secret:"true" doc:"Secret access key."`
	Anonymous bool   `yaml:"anonymous" doc:"Send requests without credentials."`
}

// Validate checks what can be checked without the place.
func (o *Options) Validate() error {
	if o.Endpoint != "" {
		u, err := url.Parse(o.Endpoint)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("endpoint: found %q, want http://HOST:PORT or https://HOST", o.Endpoint)
		}
	}
	return nil
}

// Open opens the store at a place: the path of a folder, file:PATH, or a URL of the form file:///PATH,
// s3://BUCKET/PATH, gs://BUCKET/PATH or azblob://CONTAINER/PATH. The query of a URL of an object store has [Options].
// Errors do not show secrets.
func Open(ctx context.Context, place string) (Store, error) { return open(ctx, place, Local) }

// Attach is like [Open], but leaves a folder as it is: it neither creates it nor removes what killed processes have left
// there.
func Attach(ctx context.Context, place string) (Store, error) {
	return open(ctx, place, func(dir string) (Store, error) { return &local{dir}, nil })
}

// Claim keeps other processes on this machine from claiming the same name in a folder, until release is called or this
// process ends. It creates the folder. Object stores have no such claims. The error wraps [durable.ErrLocked] if
// another process has claimed it.
func Claim(place, name string) (release func() error, err error) {
	t, err := parse(place)
	if err != nil || t.bucket != nil {
		return func() error { return nil }, err
	}
	if err := durable.MkdirAll(t.folder); err != nil {
		return nil, err
	}
	if release, err = durable.Claim(filepath.Join(t.folder, name)); err != nil {
		return nil, fmt.Errorf("%s: %w", place, cmp.Or(errors.Unwrap(err), err))
	}
	return release, nil
}

func open(ctx context.Context, text string, folder func(dir string) (Store, error)) (Store, error) {
	t, err := parse(text)
	if err != nil {
		return nil, err
	}
	if t.bucket == nil {
		return folder(t.folder)
	}
	var o Options
	if err = option.FromQuery(&o, t.query); err == nil {
		err = o.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.bucket, err)
	}
	s, err := t.bucket.Open(ctx, o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.bucket, err)
	}
	return s, nil
}

// Check reports what is wrong with the text of a place, without reading anything.
func Check(place string) error {
	t, err := parse(place)
	if err != nil || t.bucket == nil {
		return err
	}
	var o Options
	_, problems := option.ParseQuery(&o, t.query)
	if err = errors.Join(append(problems, o.Validate())...); err != nil {
		return fmt.Errorf("%s: %w", t.bucket, err)
	}
	return nil
}

// Mask returns the text of a place without secrets.
func Mask(place string) string {
	path, query, found := strings.Cut(place, "?")
	if !found {
		return place
	}
	return path + "?" + option.MaskQuery(&Options{}, query)
}

// target is a parsed place: a folder, or a bucket with a query.
type target struct {
	folder string
	bucket *Place
	query  string
}

func parse(place string) (target, error) {
	scheme, path, isURL := strings.Cut(place, ":")
	if scheme = strings.ToLower(scheme); !isURL || len(scheme) == 1 { // a drive of Windows
		return target{folder: place}, nil
	}
	switch scheme {
	case "file":
		folder, err := folderOf(path)
		if err != nil {
			return target{}, fmt.Errorf("%s: %w", place, err)
		}
		return target{folder: folder}, nil
	case S3, GCS, Azure:
	default:
		if strings.HasPrefix(path, "//") {
			// The rest of the text could contain a password.
			schemes := []string{"file", S3, GCS, Azure}
			return target{}, fmt.Errorf("found a URL with the scheme %q%s, want a folder, or one of %s", scheme,
				option.DidYouMean(scheme, schemes), strings.Join(schemes, ", "))
		}
		return target{folder: place}, nil // a name with a colon
	}
	path, query, _ := strings.Cut(path, "?")
	p, err := ParsePlace(scheme, path)
	if err != nil {
		return target{}, fmt.Errorf("%s:%s: %w", scheme, path, err)
	}
	return target{bucket: &p, query: query}, nil
}

// folderOf returns the folder that follows file: in a URL. Only the form ///PATH is percent-encoded.
func folderOf(path string) (string, error) {
	rest, ok := strings.CutPrefix(path, "//")
	if !ok {
		return path, nil
	}
	host, rest, _ := strings.Cut(rest, "/")
	if host != "" && host != "localhost" {
		return "", fmt.Errorf("found the host %q, want none: file:PATH or file:///PATH", host)
	}
	return url.PathUnescape("/" + rest)
}

// Open opens the store. It makes one request, to find out whether the store can be reached and read. Errors do not name
// the place.
func (p Place) Open(ctx context.Context, o Options) (Store, error) {
	if (o.AccessKey == "") != (o.SecretKey == "") {
		return nil, errors.New("found access-key or secret-key alone, want both or neither")
	}
	open := openS3
	switch p.Scheme {
	case GCS:
		open = openGCS
	case Azure:
		open = openAzure
	}
	b, err := open(ctx, p, o)
	if err != nil {
		return nil, err
	}
	r := &remote{place: p, bucket: b}
	for _, err := range b.list(ctx, r.key("")) {
		if err != nil {
			return nil, &remoteError{"", err}
		}
		break
	}
	return r, nil
}
