package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // what Azure checks uploads with
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/voxelstream/voxelstream/internal/regular"
)

// azure is a container of Azure Blob Storage. Its own client of the REST API takes less memory than Microsoft's.
type azure struct {
	client *http.Client
	// base is the URL of the container, with a SAS token in its query if there is one.
	base *url.URL
	// account and key sign requests. key is empty if they are not signed.
	account string
	key     []byte
}

// azureVersion is the version of the REST API.
const azureVersion = "2021-12-02"

// azureBlock is the length of the blocks of large files, and of the largest file that is uploaded in one request.
const azureBlock = 16 << 20

// azureTries is how often a request is made that the server could not answer.
const azureTries = 5

const adviceAzure = "set AZURE_STORAGE_ACCOUNT, and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN; or read a public " +
	"container with anonymous=true"

// openAzure opens a container.
func openAzure(_ context.Context, p Place, o Options) (bucket, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = time.Minute
	a := &azure{
		client:  &http.Client{Transport: transport},
		account: cmp.Or(o.AccessKey, os.Getenv("AZURE_STORAGE_ACCOUNT")),
	}
	if a.account == "" && o.Endpoint == "" {
		return nil, fmt.Errorf("found no name of a storage account; %s", adviceAzure)
	}
	var err error
	a.base, err = url.Parse(cmp.Or(o.Endpoint, "https://"+a.account+".blob.core.windows.net"))
	if err != nil {
		return nil, err
	}
	a.base = a.base.JoinPath(p.Bucket)
	key, sas := cmp.Or(o.SecretKey, os.Getenv("AZURE_STORAGE_KEY")), os.Getenv("AZURE_STORAGE_SAS_TOKEN")
	switch {
	case o.Anonymous:
	case key != "":
		if a.key, err = base64.StdEncoding.DecodeString(key); err != nil {
			return nil, errors.New("found a secret key that is not in base64, want that of the storage account")
		}
	case sas != "":
		a.base.RawQuery = strings.TrimPrefix(sas, "?")
	default:
		return nil, fmt.Errorf("found no credentials; %s", adviceAzure)
	}
	return a, nil
}

func (a *azure) close() { a.client.CloseIdleConnections() }

// azureRequest is a request for a blob, or for the container if key is empty.
type azureRequest struct {
	method, key string
	query       url.Values
	header      map[string]string
	body        []byte
}

// do makes a request. It repeats what the server could not answer. The body of the response must be closed.
func (a *azure) do(ctx context.Context, q azureRequest) (*http.Response, error) {
	for n := 1; ; n++ {
		resp, err := a.try(ctx, q)
		if err == nil || n == azureTries || ctx.Err() != nil {
			return resp, err
		}
		if !Transient(&remoteError{"", err}) {
			return resp, err
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(n*n) * 100 * time.Millisecond):
		}
	}
}

func (a *azure) try(ctx context.Context, q azureRequest) (*http.Response, error) {
	u := *a.base
	if q.key != "" {
		u = *u.JoinPath(strings.Split(url.PathEscape(q.key), "%2F")...)
	}
	query := u.Query()
	maps.Copy(query, q.query)
	u.RawQuery = query.Encode()
	r, err := http.NewRequestWithContext(ctx, q.method, u.String(), bytes.NewReader(q.body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("X-Ms-Version", azureVersion)
	r.Header.Set("X-Ms-Date", time.Now().UTC().Format(http.TimeFormat))
	for name, value := range q.header {
		r.Header.Set(name, value)
	}
	if len(q.body) > 0 {
		sum := md5.Sum(q.body) //nolint:gosec // what Azure checks uploads with
		r.Header.Set("Content-Md5", base64.StdEncoding.EncodeToString(sum[:]))
	}
	a.sign(r)
	resp, err := a.client.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // the URL may have a token
		}
		return nil, err
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close() //nolint:errcheck // it is read
		return nil, a.failed(resp)
	}
	return resp, nil
}

// sign signs a request as Authorize with Shared Key of the documentation says.
func (a *azure) sign(r *http.Request) {
	if a.key == nil {
		return
	}
	length := ""
	if r.ContentLength > 0 {
		length = strconv.FormatInt(r.ContentLength, 10)
	}
	h := r.Header
	lines := []string{
		r.Method, h.Get("Content-Encoding"), h.Get("Content-Language"), length, h.Get("Content-Md5"),
		h.Get("Content-Type"), "", h.Get("If-Modified-Since"), h.Get("If-Match"), h.Get("If-None-Match"),
		h.Get("If-Unmodified-Since"), h.Get("Range"),
	}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-ms-") {
			lines = append(lines, lower+":"+h.Get(name))
		}
	}
	lines = append(lines, "/"+a.account+r.URL.EscapedPath())
	query := r.URL.Query()
	for _, name := range slices.Sorted(maps.Keys(query)) {
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(query[name], ","))
	}
	mac := hmac.New(sha256.New, a.key)
	mac.Write([]byte(strings.Join(lines, "\n")))
	h.Set("Authorization", "SharedKey "+a.account+":"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// discard closes the body of a response that has nothing of interest.
func discard(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func (a *azure) put(ctx context.Context, key, path, digest string, create bool) error {
	f, _, err := regular.Open(path)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // opened for reading
	header := map[string]string{"X-Ms-Meta-Sha256": digest}
	if create {
		header["If-None-Match"] = "*"
	}
	var blocks struct {
		XMLName xml.Name `xml:"BlockList"`
		Latest  []string
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	buf := make([]byte, min(info.Size(), azureBlock))
	for n := 0; ; n++ {
		read, err := io.ReadFull(f, buf)
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		body := buf[:read]
		if n == 0 && info.Size() <= azureBlock {
			header["X-Ms-Blob-Type"] = "BlockBlob"
			return discard(a.do(ctx, azureRequest{method: http.MethodPut, key: key, header: header, body: body}))
		}
		if read == 0 {
			break
		}
		id := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, uint64(n)))
		blocks.Latest = append(blocks.Latest, id)
		err = discard(a.do(ctx, azureRequest{
			method: http.MethodPut, key: key, query: url.Values{"comp": {"block"}, "blockid": {id}}, body: body,
		}))
		if err != nil {
			return err
		}
	}
	body, err := xml.Marshal(&blocks)
	if err != nil {
		return err
	}
	return discard(a.do(ctx, azureRequest{
		method: http.MethodPut, key: key, query: url.Values{"comp": {"blocklist"}}, header: header, body: body,
	}))
}

func (a *azure) get(ctx context.Context, key string, begin func(size int64) (io.Writer, error),
) (digest string, err error) {
	resp, err := a.do(ctx, azureRequest{method: http.MethodGet, key: key})
	if err != nil {
		return "", err
	}
	defer resp.Body.Close() //nolint:errcheck // it is read
	w, err := begin(resp.ContentLength)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(w, resp.Body)
	return resp.Header.Get("X-Ms-Meta-Sha256"), err
}

// azurePage limits the length of a page of a list: 5000 blobs with names of up to 1024 characters.
const azurePage = 32 << 20

func (a *azure) list(ctx context.Context, prefix string) iter.Seq2[File, error] {
	return func(yield func(File, error) bool) {
		query := url.Values{"restype": {"container"}, "comp": {"list"}, "prefix": {prefix}}
		for {
			var page struct {
				Blobs []struct {
					Name string
					Size int64 `xml:"Properties>Content-Length"`
				} `xml:"Blobs>Blob"`
				NextMarker string
			}
			resp, err := a.do(ctx, azureRequest{method: http.MethodGet, query: query})
			if err == nil {
				err = xml.NewDecoder(io.LimitReader(resp.Body, azurePage)).Decode(&page)
				err = errors.Join(err, resp.Body.Close())
			}
			if err != nil {
				yield(File{}, err)
				return
			}
			for _, b := range page.Blobs {
				if !yield(File{Name: b.Name, Size: b.Size}, nil) {
					return
				}
			}
			if page.NextMarker == "" {
				return
			}
			query.Set("marker", page.NextMarker)
		}
	}
}

func (a *azure) remove(ctx context.Context, key string) error {
	err := discard(a.do(ctx, azureRequest{method: http.MethodDelete, key: key}))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// failed reads the error in a response.
func (a *azure) failed(resp *http.Response) error {
	f := &failure{code: resp.Header.Get("X-Ms-Error-Code"), status: resp.StatusCode}
	switch f.code {
	case "BlobNotFound":
		return fs.ErrNotExist
	case "BlobAlreadyExists", "ConditionNotMet":
		return fs.ErrExist
	case "ContainerNotFound":
		f.advice = "create the container or correct its name"
	case "AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation":
		f.advice = "the server does not accept the credentials; " + adviceAzure
	case "AuthorizationFailure", "AuthorizationPermissionMismatch", "InsufficientAccountPermissions",
		"PublicAccessNotPermitted", "ResourceNotFound":
		f.advice = "the credentials must be valid and allow to list the container and to read, write and delete blobs"
	}
	return f
}
