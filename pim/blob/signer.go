package blob

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// Errors of [Signer.Check].
var (
	ErrSignature = errors.New("the URL's signature does not fit")
	ErrExpired   = errors.New("the URL has expired")
)

// Names of the parameters that a signed URL carries.
const (
	paramKey     = "k" // which key signed
	paramExpires = "e" // seconds since 1970, absent without an end
	paramSum     = "s" // HMAC-SHA256 in base64url without padding
)

// Signer signs URL paths, such as /media/<hash>/<name>, so that a channel can
// fetch them without an account. The same path, end and key always give the same
// URL, so that a URL can be part of a document whose hash decides whether it is
// sent again. Putting a new key first therefore changes all documents with URLs:
// channels are sent their media once more.
type Signer struct{ keys []signKey }

type signKey struct {
	id     string
	secret [32]byte
}

// NewSigner makes a signer of one or more keys: the first signs, all are
// accepted. A key is 32 random bytes, used for nothing else.
func NewSigner(keys ...[32]byte) (*Signer, error) {
	if len(keys) == 0 {
		return nil, errors.New("signer needs a key")
	}
	s := &Signer{}
	for i, key := range keys {
		if key == ([32]byte{}) {
			return nil, fmt.Errorf("signer's key %d is empty", i+1)
		}
		// Derived, so that nobody has to name keys; it says nothing of the key.
		mac := hmac.New(sha256.New, key[:])
		mac.Write([]byte("sluice signed url: key id"))
		id := hex.EncodeToString(mac.Sum(nil)[:4])
		for _, other := range s.keys {
			if other.id == id {
				return nil, fmt.Errorf("signer's key %d is there twice", i+1)
			}
		}
		s.keys = append(s.keys, signKey{id: id, secret: key})
	}
	return s, nil
}

// Sign returns the signed URL of an unescaped path, escaped and with its query,
// without scheme and host. It is valid up to and including the second of expires,
// for ever if that is the zero time.
func (s *Signer) Sign(path string, expires time.Time) string {
	key, end := s.keys[0], ""
	if !expires.IsZero() {
		end = strconv.FormatInt(expires.Unix(), 10)
	}
	query := paramKey + "=" + key.id
	if end != "" {
		query += "&" + paramExpires + "=" + end
	}
	query += "&" + paramSum + "=" + key.sum(end, path)
	return (&url.URL{Path: path, RawQuery: query}).String()
}

// Check says whether a request's unescaped path and query were signed by one of
// the keys and are valid at now; ErrSignature or ErrExpired if not. Other
// parameters are not covered by the signature: nothing may depend on them.
func (s *Signer) Check(path string, query url.Values, now time.Time) error {
	id, sum, end := query[paramKey], query[paramSum], query[paramExpires]
	if len(id) != 1 || len(sum) != 1 || len(end) > 1 {
		return ErrSignature
	}
	var expires int64
	var text string
	if len(end) == 1 {
		var err error
		text = end[0]
		if expires, err = strconv.ParseInt(text, 10, 64); err != nil || strconv.FormatInt(expires, 10) != text {
			return ErrSignature
		}
	}
	for _, key := range s.keys {
		if key.id != id[0] {
			continue
		}
		// As text, for base64 has several spellings of the same bytes.
		if !hmac.Equal([]byte(sum[0]), []byte(key.sum(text, path))) {
			return ErrSignature
		}
		// Only now, so that nobody learns by guessing which paths had a URL.
		if text != "" && now.Unix() > expires {
			return ErrExpired
		}
		return nil
	}
	return ErrSignature
}

// sum covers the path last, for it alone may hold a line break.
func (k signKey) sum(end, path string) string {
	mac := hmac.New(sha256.New, k.secret[:])
	mac.Write([]byte("sluice signed url 1\n" + end + "\n" + path))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}
