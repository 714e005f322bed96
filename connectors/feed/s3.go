package feed

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/minio/minio-go/v7/pkg/s3utils"
	"github.com/minio/minio-go/v7/pkg/signer"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

// bucket keeps a feed in storage that speaks S3, signature version 4. It makes
// its requests by httpx, as every connector, so that they keep the channel's pace
// and are written down; minio-go only signs them.
type bucket struct {
	*settings
	client *httpx.Client
}

const (
	// maxAnswer bounds an answer: a window, or a page of a listing.
	maxAnswer = windowSize + 1<<20
	// small bounds a request that moves little, a segment included.
	small = time.Minute
	// maxPut is the longest content that S3 takes in one request, 5 GiB
	// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).
	maxPut = 5 << 30
)

// verdicts is the one table of S3's error codes
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html). What is
// not in it goes by its status. No answer is about a product.
var verdicts = map[string]struct {
	verdict   connectors.Verdict
	uncertain bool
}{
	"SlowDown":                     {connectors.Throttled, false},
	"SlowDownWrite":                {connectors.Throttled, false},
	"SlowDownRead":                 {connectors.Throttled, false},
	"RequestTimeout":               {connectors.Unavailable, true},
	"ExpiredToken":                 {connectors.Auth, false},
	"InvalidToken":                 {connectors.Auth, false},
	"InvalidAccessKeyId":           {connectors.Auth, false},
	"SignatureDoesNotMatch":        {connectors.Auth, false},
	"AccessDenied":                 {connectors.Auth, false},
	"AllAccessDisabled":            {connectors.Auth, false},
	"AccountProblem":               {connectors.Auth, false},
	"RequestTimeTooSkewed":         {connectors.Auth, false},
	"AuthorizationHeaderMalformed": {connectors.Auth, false},
	"NoSuchBucket":                 {connectors.Unavailable, false},
	"QuotaExceeded":                {connectors.Unavailable, false},
	"XMinioStorageFull":            {connectors.Unavailable, false},
	"XAmzContentSHA256Mismatch":    {connectors.Unavailable, false},
	"BadDigest":                    {connectors.Unavailable, false},
}

// answered is what a refusal means: errMissing, errChanged, or an error.
func answered(resp *httpx.Response) error {
	err := httpx.Check(resp)
	if err == nil {
		return nil
	}
	var said struct {
		Code string `xml:"Code"`
	}
	_ = xml.Unmarshal(resp.Body, &said) // a HEAD's answer, and a proxy's, say no more than their status
	e := connectors.AsError(err)
	v, known := verdicts[said.Code]
	switch {
	case known:
		return &connectors.Error{Verdict: v.verdict, Uncertain: v.uncertain, After: e.After, Err: e.Err}
	case resp.Status == http.StatusNotFound:
		return fmt.Errorf("%w: %w", errMissing, e.Err)
	case resp.Status == http.StatusPreconditionFailed, resp.Status == http.StatusConflict:
		return fmt.Errorf("%w: %w", errChanged, e.Err)
	case e.Verdict == connectors.Validation, e.Verdict == connectors.Permanent, e.Verdict == connectors.Conflict:
		return &connectors.Error{Verdict: connectors.Unavailable, After: e.After, Err: e.Err}
	}
	return err
}

// url is where a name of ours is; "" is the bucket.
func (b *bucket) url(name string) *url.URL {
	u := *b.endpoint
	at := "/"
	if b.PathStyle {
		at += b.Bucket + "/"
	} else {
		u.Host = b.Bucket + "." + u.Host
	}
	if name != "" {
		at += path.Join(b.Prefix, name)
	}
	u.Path, u.RawPath = at, s3utils.EncodePath(at)
	return &u
}

// empty is the SHA-256 of nothing.
var empty = hex.EncodeToString(sha256.New().Sum(nil))

// do signs and makes a request of which hash is the body's SHA-256.
func (b *bucket) do(ctx context.Context, req *http.Request, hash string) (*httpx.Response, error) {
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Host = req.URL.Host
	req.Header.Set("X-Amz-Content-Sha256", hash)
	// An answer that is unpacked on the way has another length than its range.
	req.Header.Set("Accept-Encoding", "identity")
	signed := signer.SignV4(*req, b.AccessKey, b.SecretKey, "", b.Region)
	resp, err := b.client.Do(ctx, signed)
	if err != nil {
		e := connectors.AsError(err)
		if e.Verdict == connectors.Permanent { // too long, or of an address: it is not about a product
			return nil, &connectors.Error{Verdict: connectors.Unavailable, Uncertain: e.Uncertain, Err: e.Err}
		}
		return nil, err
	}
	return resp, answered(resp)
}

func (b *bucket) put(ctx context.Context, name string, content *os.File, cond condition) (string, error) {
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return "", trouble("reading what is to be %s: %w", name, err)
	}
	if size > maxPut {
		return "", trouble("%s has %d bytes, and S3 takes %d at most in one piece", name, size, int64(maxPut))
	}
	sum := sha256.New()
	if err := copyAll(ctx, sum, io.NewSectionReader(content, 0, size)); err != nil {
		return "", trouble("reading what is to be %s: %w", name, err)
	}
	req := &http.Request{
		Method: http.MethodPut, URL: b.url(name), Header: http.Header{"Content-Type": {mediaType(name)}},
		ContentLength: size, Body: http.NoBody,
	}
	if size > 0 {
		req.Body = io.NopCloser(io.NewSectionReader(content, 0, size))
	}
	switch {
	case cond.set && cond.tag == "":
		req.Header.Set("If-None-Match", "*")
	case cond.set:
		req.Header.Set("If-Match", cond.tag)
	}
	resp, err := b.do(ctx, req, hex.EncodeToString(sum.Sum(nil)))
	if err != nil {
		return "", fmt.Errorf("writing %s: %w", name, err)
	}
	tag := resp.Header.Get("ETag")
	if tag == "" {
		return "", fmt.Errorf("writing %s: %w", name, &connectors.Error{Verdict: connectors.Unavailable, Uncertain: true, Err: errors.New("the answer has no ETag, as every answer of S3 has")})
	}
	return tag, nil
}

func mediaType(name string) string {
	switch path.Ext(name) {
	case ".xml":
		return "application/xml"
	case ".tsv":
		return "text/tab-separated-values; charset=utf-8"
	case ".json":
		return "application/json"
	}
	return "application/octet-stream"
}

func (b *bucket) stat(ctx context.Context, name string) (object, error) {
	ctx, cancel := context.WithTimeout(ctx, small)
	defer cancel()
	resp, err := b.do(ctx, &http.Request{Method: http.MethodHead, URL: b.url(name)}, empty)
	if err != nil {
		return object{}, fmt.Errorf("looking at %s: %w", name, err)
	}
	size, err := strconv.ParseInt(resp.Header.Get("Content-Length"), 10, 64)
	if err != nil || resp.Header.Get("ETag") == "" {
		return object{}, trouble("looking at %s: the answer has no length or no ETag", name)
	}
	return object{name: name, tag: resp.Header.Get("ETag"), size: size}, nil
}

func (b *bucket) window(ctx context.Context, name, tag string, offset, n int64) ([]byte, object, error) {
	ctx, cancel := context.WithTimeout(ctx, small)
	defer cancel()
	req := &http.Request{Method: http.MethodGet, URL: b.url(name), Header: http.Header{
		"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+n-1)},
	}}
	if tag != "" {
		req.Header.Set("If-Match", tag)
	}
	resp, err := b.do(ctx, req, empty)
	if err != nil {
		return nil, object{}, fmt.Errorf("reading %s: %w", name, err)
	}
	o := object{name: name, tag: resp.Header.Get("ETag"), size: int64(len(resp.Body))}
	var first, last int64
	switch {
	case o.tag == "", tag != "" && tag != o.tag:
		err = errors.New("the answer has not the ETag that it should have")
	case resp.Status == http.StatusPartialContent:
		_, err = fmt.Sscanf(resp.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &o.size)
		if err == nil && (first != offset || last-first+1 != int64(len(resp.Body)) || last >= o.size) {
			err = errors.New("the answer has another range than it was asked for")
		}
	case offset > 0 || int64(len(resp.Body)) > n:
		err = errors.New("the storage does not know ranges")
	}
	if err != nil {
		return nil, object{}, trouble("reading %s: %w", name, err)
	}
	return resp.Body, o, nil
}

// listing is a page of ListObjectsV2
// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectsV2.html).
type listing struct {
	XMLName   xml.Name `xml:"ListBucketResult"`
	Truncated bool     `xml:"IsTruncated"`
	Next      string   `xml:"NextContinuationToken"`
	Contents  []struct {
		Key          string    `xml:"Key"`
		LastModified time.Time `xml:"LastModified"`
		ETag         string    `xml:"ETag"`
		Size         int64     `xml:"Size"`
	} `xml:"Contents"`
}

func (b *bucket) page(ctx context.Context, prefix, after string, most int) (*listing, error) {
	ctx, cancel := context.WithTimeout(ctx, small)
	defer cancel()
	u := b.url("")
	query := url.Values{"list-type": {"2"}, "prefix": {prefix}, "max-keys": {strconv.Itoa(most)}}
	if after != "" {
		query.Set("continuation-token", after)
	}
	u.RawQuery = s3utils.QueryEncode(query)
	resp, err := b.do(ctx, &http.Request{Method: http.MethodGet, URL: u}, empty)
	if errors.Is(err, errMissing) {
		return nil, trouble("the bucket does not exist")
	}
	if err != nil {
		return nil, fmt.Errorf("listing %s: %w", prefix, err)
	}
	page := &listing{}
	if err := xml.Unmarshal(bytes.TrimSpace(resp.Body), page); err != nil || page.Truncated && page.Next == "" {
		return nil, trouble("listing %s: the answer is no page of a listing", prefix)
	}
	return page, nil
}

func (b *bucket) list(ctx context.Context, prefix string, fn func(object) error) error {
	after, all := "", prefix // whose slash at its end counts: other names may begin as a folder's does
	if b.Prefix != "" {
		all = b.Prefix + "/" + prefix
	}
	for {
		page, err := b.page(ctx, all, after, 1000)
		if err != nil {
			return err
		}
		for _, o := range page.Contents {
			name := o.Key
			if b.Prefix != "" {
				name = strings.TrimPrefix(name, b.Prefix+"/")
			}
			if err := fn(object{name: name, tag: o.ETag, size: o.Size, at: o.LastModified}); err != nil {
				return err
			}
		}
		if !page.Truncated || page.Next == after {
			return nil
		}
		after = page.Next
	}
}

func (b *bucket) remove(ctx context.Context, name string) error {
	ctx, cancel := context.WithTimeout(ctx, small)
	defer cancel()
	_, err := b.do(ctx, &http.Request{Method: http.MethodDelete, URL: b.url(name)}, empty)
	if err != nil && !errors.Is(err, errMissing) {
		return fmt.Errorf("removing %s: %w", name, err)
	}
	return nil
}

func (b *bucket) check(ctx context.Context) error {
	_, err := b.page(ctx, b.Prefix, "", 1)
	return err
}
