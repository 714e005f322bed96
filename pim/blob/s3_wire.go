package blob

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// stall is how long a connection may stand still before it is given up.
	stall = time.Minute
	// maxAnswer bounds what is read of an answer that is not an object's content:
	// a page of a listing is 1,000 keys, an error a few lines.
	maxAnswer = 8 << 20
)

var (
	errNoBucket = errors.New("the bucket does not exist")
	errRange    = errors.New("the storage answers with another range than it was asked for")
)

// newTransport makes connections that do not last longer than they are of use.
// No proxy: configuration is read in cmd, and the environment is none of it.
func newTransport() *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return &movingConn{conn}, nil
		},
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        stall,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true, // content comes as it is stored
	}
}

// movingConn ends when nothing moves on it, however long a transfer takes that
// does move. A write gives the read that waits for its answer new time, too.
type movingConn struct{ net.Conn }

func (c *movingConn) Read(b []byte) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Read(b)
}

func (c *movingConn) Write(b []byte) (int, error) {
	if err := c.SetDeadline(time.Now().Add(stall)); err != nil {
		return 0, err
	}
	return c.Conn.Write(b)
}

// bounded cuts answers that are longer than they have to be.
type bounded struct{ next http.RoundTripper }

func (t bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	limit := int64(maxAnswer)
	if r.Method == http.MethodGet && r.URL.RawQuery == "" && resp.StatusCode < 300 {
		limit = maxWindow
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.LimitReader(resp.Body, limit), resp.Body}
	return resp, nil
}

// storageError is fit for logs and people; its causes can be recognised and not read.
type storageError struct {
	text   string
	causes []error
}

func (e *storageError) Error() string { return e.text }

// Is looks through the causes without handing them out.
func (e *storageError) Is(target error) bool {
	for _, cause := range e.causes {
		if errors.Is(cause, target) {
			return true
		}
	}
	return false
}

// advice says of a code what an operator can do
// (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
var advice = map[string]struct {
	is   error
	text string
}{
	"NoSuchKey":                    {ErrNotFound, ""},
	"NoSuchBucket":                 {errNoBucket, errNoBucket.Error()},
	"SignatureDoesNotMatch":        {ErrDenied, "the secret key does not belong to the access key"},
	"InvalidAccessKeyId":           {ErrDenied, "the access key is unknown"},
	"InvalidToken":                 {ErrDenied, "the session token is not valid"},
	"ExpiredToken":                 {ErrDenied, "the session token has expired"},
	"AccessDenied":                 {ErrDenied, "access key or secret key are wrong, or they lack a right on the bucket"},
	"AllAccessDisabled":            {ErrDenied, "the bucket is closed"},
	"AccountProblem":               {ErrDenied, "the account is closed"},
	"RequestTimeTooSkewed":         {ErrDenied, "this machine's clock is wrong by more than the storage allows"},
	"AuthorizationHeaderMalformed": {ErrDenied, "the region is probably not the bucket's"},
	"InvalidRegion":                {ErrDenied, "the region is not the bucket's"},
	"PermanentRedirect":            {ErrDenied, "the bucket is at another endpoint or in another region"},
	"XAmzContentSHA256Mismatch":    {ErrCorrupt, "the storage received other bytes than were sent"},
	"BadDigest":                    {ErrCorrupt, "the storage received other bytes than were sent"},
	"EntityTooLarge":               {ErrTooLarge, "the storage takes no object of this size"},
	"QuotaExceeded":                {ErrFull, "the bucket's quota is used up"},
	"XMinioStorageFull":            {ErrFull, "the storage is full"},
	"XMinioAdminBucketQuotaExceeded": {
		ErrFull, "the bucket's quota is used up",
	},
}

// mapped makes an error of the client library fit. Its own texts may quote the
// request's URL, and a storage's message whatever it likes: only the code counts.
func (s *S3) mapped(err error) error {
	if err == nil {
		return nil
	}
	if e, ok := errors.AsType[*storageError](err); ok {
		return e
	}
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrTooLarge) {
		return err // our own words
	}
	if e, ok := errors.AsType[minio.ErrorResponse](err); ok {
		return answered(e)
	}
	text := "the request got no answer"
	inner := err
	if e, ok := errors.AsType[*url.Error](err); ok {
		inner = e.Err
	}
	switch e, ok := errors.AsType[*net.OpError](inner); {
	case errors.Is(err, context.Canceled):
		text = "cancelled"
	case errors.Is(err, context.DeadlineExceeded):
		text = "no answer before the deadline"
	case ok: // what it was, to which address, and why
		text = e.Error()
	case isTLS(inner):
		text = inner.Error()
	case errors.Is(err, errRange):
		text = errRange.Error()
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), strings.Contains(inner.Error(), "Connection closed"):
		text = "the storage ended the connection too early"
	}
	return &storageError{text: text, causes: []error{err}}
}

// isTLS finds errors that say what is wrong with a certificate or a handshake.
func isTLS(err error) bool {
	_, certificate := errors.AsType[*tls.CertificateVerificationError](err)
	_, record := errors.AsType[tls.RecordHeaderError](err)
	_, alert := errors.AsType[tls.AlertError](err)
	return certificate || record || alert || strings.Contains(err.Error(), "server gave HTTP response to HTTPS client")
}

// answered maps what a storage said.
func answered(e minio.ErrorResponse) error {
	known, ok := advice[e.Code]
	status := e.StatusCode
	switch {
	case ok && known.text == "":
		return known.is
	case ok:
	case status == http.StatusNotFound:
		return ErrNotFound
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		known = advice["AccessDenied"]
	case status >= 300 && status < 400:
		known = advice["PermanentRedirect"]
	case status == http.StatusInsufficientStorage:
		known = advice["XMinioStorageFull"]
	}
	text := fmt.Sprintf("the storage answered %d %s", status, http.StatusText(status))
	if code := codeText(e.Code); code != "" {
		text += " (" + code + ")"
	}
	if known.text != "" {
		text += ": " + known.text
	}
	if known.is != nil {
		text = known.is.Error() + ": " + text
	}
	return &storageError{text: text, causes: []error{known.is}}
}

// codeText is a code if it looks like one.
func codeText(code string) string {
	for _, r := range code {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' {
			return ""
		}
	}
	if len(code) > 60 {
		return ""
	}
	return code
}
