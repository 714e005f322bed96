package blob

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

const (
	// MaxS3 is the longest content that S3 takes in one request, 5 GiB
	// (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html). One
	// request, because only then the storage checks the whole content's SHA-256,
	// and because a crash leaves no half of an upload that somebody pays for.
	MaxS3 = 5 << 30

	// s3Tries is how often a request is made in all.
	s3Tries = 3
	// s3Short bounds requests that move no content, repetitions included.
	s3Short = time.Minute
)

// S3Options say where a bucket is and how it is reached.
type S3Options struct {
	// Endpoint is scheme, host and port, such as https://minio.example:9000. ""
	// means Amazon's for the region. It is the operator's own setting, so it may
	// be a private address or loopback.
	Endpoint string
	Region   string // "" means us-east-1
	Bucket   string
	// Prefix comes before all keys; a slash is put after it. "" for none.
	Prefix string
	// PathStyle puts the bucket into the path (true) or the host name (false);
	// nil does what is usual at the endpoint, which is the path but for the large
	// clouds.
	PathStyle *bool

	AccessKey    string
	SecretKey    string `json:"-"`
	SessionToken string `json:"-"` // "" but for temporary credentials, which end with it

	// Spool is the folder in which Put keeps content until it knows its hash; ""
	// means the system's folder for temporary files.
	Spool string
	// Grace is the grace time; 0 means DefaultGrace.
	Grace time.Duration
}

// String leaves the credentials out.
func (o S3Options) String() string {
	return fmt.Sprintf("s3://%s/%s at %s", o.Bucket, o.Prefix, o.endpoint())
}

// GoString leaves the credentials out.
func (o S3Options) GoString() string { return o.String() }

func (o S3Options) region() string {
	if o.Region == "" {
		return "us-east-1"
	}
	return o.Region
}

func (o S3Options) endpoint() string {
	if o.Endpoint == "" {
		return "https://s3." + o.region() + ".amazonaws.com"
	}
	return o.Endpoint
}

// check finds what is wrong with the options by themselves.
func (o S3Options) check() error {
	// Before the endpoint, which is made of it where there is none.
	for _, r := range o.Region {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' {
			return fmt.Errorf("region %q has a character that no region has", o.Region)
		}
	}
	u, err := url.Parse(o.endpoint())
	switch {
	case err != nil, u.Scheme != "https" && u.Scheme != "http", u.Host == "":
		return errors.New("endpoint must be a URL such as https://host:port") // without its text, which may hold a password
	case u.User != nil, strings.Trim(u.Path, "/") != "", u.RawQuery != "", u.Fragment != "":
		return errors.New("endpoint must be scheme, host and port and nothing else")
	}
	if err := s3utils.CheckValidBucketNameStrict(o.Bucket); err != nil {
		return fmt.Errorf("bucket %q: %w", o.Bucket, err)
	}
	if p := strings.TrimSuffix(o.Prefix, "/"); p != "" && (strings.HasPrefix(p, "/") || path.Clean(p) != p || strings.HasPrefix(p, "..")) {
		return fmt.Errorf("prefix %q must be names separated by single slashes", o.Prefix)
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return errors.New("access key and secret key must both be there")
	}
	return nil
}

// S3 is a [Store] in a bucket of Amazon S3 or of a storage that speaks its
// protocol, signature version 4. Content lies in <prefix>ab/cd/abcd…, as in a
// [Folder], so that one can be copied into the other by any tool. The bucket must
// exist. It needs the rights to get, put and delete objects and to list the
// bucket: without the last, Amazon answers 403 for what is not there.
type S3 struct {
	client    *minio.Core
	transport *http.Transport
	where     string // for errors
	bucket    string
	prefix    string
	spool     string
	grace     time.Duration
	locks     *stripes
	page      int // entries of a listing's page; 0 means as many as the server gives
}

// OpenS3 prepares the store; it sends nothing. [S3.Check] says whether it works.
func OpenS3(o S3Options) (*S3, error) {
	if err := o.check(); err != nil {
		return nil, fmt.Errorf("open blob bucket: %w", err)
	}
	u, err := url.Parse(o.endpoint())
	if err != nil {
		return nil, fmt.Errorf("open blob bucket: %w", err)
	}
	lookup := minio.BucketLookupAuto
	if o.PathStyle != nil {
		lookup = minio.BucketLookupDNS
		if *o.PathStyle {
			lookup = minio.BucketLookupPath
		}
	}
	transport := newTransport()
	client, err := minio.NewCore(u.Host, &minio.Options{
		Creds:        credentials.NewStaticV4(o.AccessKey, o.SecretKey, o.SessionToken),
		Secure:       u.Scheme == "https",
		Transport:    bounded{transport},
		Region:       o.region(),
		BucketLookup: lookup,
		MaxRetries:   s3Tries,
	})
	if err != nil {
		return nil, fmt.Errorf("open blob bucket: %w", err)
	}
	s := &S3{
		client: client, transport: transport, where: o.String(),
		bucket: o.Bucket, prefix: o.Prefix, spool: o.Spool, grace: o.Grace, locks: newStripes(),
	}
	if s.prefix != "" && !strings.HasSuffix(s.prefix, "/") {
		s.prefix += "/"
	}
	if s.grace <= 0 {
		s.grace = DefaultGrace
	}
	return s, nil
}

// Grace is the age below which Expire removes nothing. Ages are by the storage's
// clock alone.
func (s *S3) Grace() time.Duration { return s.grace }

// Close gives idle connections back.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

func (s *S3) key(h Hash) string { return s.prefix + h.key() }

// Put stores content; see [Store]. It keeps it in a temporary file until its hash
// is known, sends it only if it is not there or old, and has the storage check
// the hash. Content beyond [MaxS3] is too large whatever the limit.
func (s *S3) Put(ctx context.Context, r io.Reader, limit int64) (Stored, error) {
	stored, err := s.put(ctx, r, limit)
	if err != nil {
		return Stored{}, fmt.Errorf("put blob into %s: %w", s.where, err)
	}
	return stored, nil
}

func (s *S3) put(ctx context.Context, r io.Reader, limit int64) (Stored, error) {
	file, err := os.CreateTemp(s.spool, "sluice-blob-*")
	if err != nil {
		return Stored{}, full(err)
	}
	defer func() {
		file.Close()
		// Where open files can be removed this has been done below.
		_ = os.Remove(file.Name())
	}()
	// At once, so that a crash leaves nothing. Not every system can.
	_ = os.Remove(file.Name())
	h, size, err := spool(ctx, file, r, min(limit, MaxS3))
	if err != nil {
		return Stored{}, err
	}
	unlock, err := s.locks.lock(ctx, h)
	if err != nil {
		return Stored{}, err
	}
	defer unlock()
	info, age, err := s.stat(ctx, h)
	stored := Stored{Hash: h, Size: size, New: errors.Is(err, ErrNotFound)}
	if err != nil && !stored.New {
		return Stored{}, err
	}
	if err == nil && info.Size == size && age < s.grace/2 {
		return stored, nil
	}
	if err := s.send(ctx, s.key(h), io.NewSectionReader(file, 0, size), h); err != nil {
		return Stored{}, err
	}
	return stored, nil
}

// send writes an object of which h is the SHA-256.
func (s *S3) send(ctx context.Context, key string, content *io.SectionReader, h Hash) error {
	// The hash is part of what is signed, and storages compare it with what they
	// received. The other way, a signature per chunk, not all of them understand.
	_, err := s.client.PutObject(ctx, s.bucket, key, content, content.Size(), "", h.String(),
		minio.PutObjectOptions{DisableContentSha256: true, ContentType: "application/octet-stream"})
	return s.mapped(err)
}

// stat returns what is stored and its age by the storage's own clock.
func (s *S3) stat(ctx context.Context, h Hash) (Info, time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, s3Short)
	defer cancel()
	got, err := s.client.StatObject(ctx, s.bucket, s.key(h), minio.StatObjectOptions{})
	if err != nil {
		return Info{}, 0, s.mapped(err)
	}
	now, err := http.ParseTime(got.Headers.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return Info{Hash: h, Size: got.Size, ModTime: got.LastModified}, now.Sub(got.LastModified), nil
}

// Open opens content; see [Store].
func (s *S3) Open(ctx context.Context, h Hash) (*Object, error) {
	info, _, err := s.stat(ctx, h)
	if errors.Is(err, ErrNotFound) {
		err = errors.Join(err, s.bucketGone(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s in %s: %w", h, s.where, err)
	}
	return &Object{ReadSeekCloser: &ranged{ctx: ctx, store: s, hash: h, size: info.Size}, Info: info}, nil
}

// bucketGone tells a missing bucket from a missing object, which look the same
// where an answer has no body: one is an operator's mistake, and must not be
// taken for the loss of all content.
func (s *S3) bucketGone(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s3Short)
	defer cancel()
	// Whoever may not ask for the bucket is told of the object alone.
	if there, err := s.client.BucketExists(ctx, s.bucket); err == nil && !there {
		return errNoBucket
	}
	return nil
}

// Delete removes content; see [Store].
func (s *S3) Delete(ctx context.Context, h Hash) error {
	unlock, err := s.locks.lock(ctx, h)
	if err == nil {
		defer unlock()
		err = s.remove(ctx, s.key(h))
	}
	if err != nil {
		return fmt.Errorf("delete blob %s in %s: %w", h, s.where, err)
	}
	return nil
}

func (s *S3) remove(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, s3Short)
	defer cancel()
	err := s.mapped(s.client.RemoveObject(ctx, s.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	return err
}

// Expire removes old content; see [Store].
func (s *S3) Expire(ctx context.Context, h Hash) (bool, error) {
	removed, err := s.expire(ctx, h)
	if err != nil {
		return false, fmt.Errorf("expire blob %s in %s: %w", h, s.where, err)
	}
	return removed, nil
}

func (s *S3) expire(ctx context.Context, h Hash) (bool, error) {
	unlock, err := s.locks.lock(ctx, h)
	if err != nil {
		return false, err
	}
	defer unlock()
	_, age, err := s.stat(ctx, h)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil || age < s.grace {
		return false, err
	}
	return true, s.remove(ctx, s.key(h))
}

// Walk visits all content; see [Store].
func (s *S3) Walk(ctx context.Context, fn func(Info) error) error {
	failed := func(err error) error { return fmt.Errorf("walk blobs in %s: %w", s.where, err) }
	listing := s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
		Prefix: s.prefix, Recursive: true, FetchOwner: new(bool), MaxKeys: s.page,
	})
	for o := range listing {
		if o.Err != nil {
			return failed(s.mapped(o.Err))
		}
		key := strings.TrimPrefix(o.Key, s.prefix)
		if strings.HasPrefix(key, tempDir+"/"+tempPrefix) && time.Since(o.LastModified) > tempAge {
			if err := s.remove(ctx, o.Key); err != nil {
				return failed(err)
			}
		}
		if h, ok := keyHash(key); ok {
			if err := fn(Info{Hash: h, Size: o.Size, ModTime: o.LastModified}); err != nil {
				return err
			}
		}
	}
	if ctx.Err() != nil { // of which the listing says nothing
		return failed(ctx.Err())
	}
	return nil
}

// Check says whether the bucket can be used, with all the rights that are needed;
// see [Store].
func (s *S3) Check(ctx context.Context) error {
	if err := s.check(ctx); err != nil {
		return fmt.Errorf("check blob bucket %s: %w", s.where, err)
	}
	return nil
}

func (s *S3) check(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, s3Short)
	defer cancel()
	content := []byte("check")
	h, _, err := spool(ctx, io.Discard, bytes.NewReader(content), int64(len(content)))
	if err != nil {
		return err
	}
	key := s.prefix + tempDir + "/" + tempPrefix + rand.Text()
	if err := s.send(ctx, key, io.NewSectionReader(bytes.NewReader(content), 0, int64(len(content))), h); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	defer func() {
		if bad := s.remove(ctx, key); bad != nil {
			err = errors.Join(err, fmt.Errorf("delete: %w", bad))
		}
	}()
	body, _, _, err := s.client.GetObject(ctx, s.bucket, key, minio.GetObjectOptions{})
	if err != nil {
		return fmt.Errorf("read: %w", s.mapped(err))
	}
	defer body.Close()
	got, _, err := spool(ctx, io.Discard, body, int64(len(content)))
	if err != nil {
		return fmt.Errorf("read: %w", s.mapped(err))
	}
	if got != h {
		return fmt.Errorf("read: %w: other bytes come back than were written", ErrCorrupt)
	}
	for o := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{
		Prefix: s.prefix, Recursive: true, FetchOwner: new(bool), MaxKeys: 1,
	}) {
		if o.Err != nil {
			return fmt.Errorf("list: %w", s.mapped(o.Err))
		}
		break
	}
	return nil
}
