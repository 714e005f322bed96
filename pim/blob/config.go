package blob

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Config says which store is wanted; see [Parse].
type Config struct {
	folder string // "" for a bucket
	s3     S3Options
	grace  time.Duration
}

// Parse reads a store's URL:
//
//	file:///var/lib/sluice/blobs?grace=24h
//	file:blobs                                     relative to the working directory
//	s3://bucket/prefix?endpoint=https://host:9000&region=eu-west-1&path_style=true&spool=/var/tmp&grace=24h
//
// All parameters may be left out; [S3Options] says what that means. grace is at
// least a second; over S3 at least an hour, so that a slow upload is not old
// before its reference is committed. Credentials are looked up with getenv, by
// the names SLUICE_S3_ACCESS_KEY and SLUICE_S3_SECRET_KEY, or if neither is set
// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN. Errors name the
// part that is wrong and never quote what may be a secret.
func Parse(raw string, getenv func(name string) string) (Config, error) {
	c, err := parse(raw, getenv)
	if err != nil {
		return Config{}, fmt.Errorf("blob store URL: %w", err)
	}
	return c, nil
}

func parse(raw string, getenv func(string) string) (Config, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return Config{}, errors.New("it cannot be read as a URL") // the parser's complaint quotes it
	}
	query, err := url.ParseQuery(u.RawQuery)
	switch {
	case err != nil:
		return Config{}, errors.New("its query cannot be read")
	case u.User != nil:
		return Config{}, errors.New("user and password: credentials belong into the environment")
	case u.Fragment != "":
		return Config{}, errors.New("fragment: there must be none (write # as %23)")
	}
	for name, values := range query {
		if len(values) > 1 {
			return Config{}, fmt.Errorf("parameter %s: it is there twice", name)
		}
	}
	p := params{values: query}
	var c Config
	switch u.Scheme {
	case "file":
		if c.folder, err = folderPath(u); err != nil {
			return Config{}, err
		}
		c.grace = p.duration("grace", time.Second)
	case "s3":
		c.grace = p.duration("grace", time.Hour)
		c.s3 = S3Options{
			Endpoint: p.text("endpoint"), Region: p.text("region"), PathStyle: p.choice("path_style"), Spool: p.text("spool"),
			Bucket: u.Host, Prefix: strings.Trim(u.Path, "/"), Grace: c.grace,
		}
	default:
		return Config{}, fmt.Errorf("scheme %q: it must be file or s3", u.Scheme)
	}
	if err := p.finish(); err != nil {
		return Config{}, err
	}
	if c.folder != "" {
		return c, nil
	}
	names := []string{"SLUICE_S3_ACCESS_KEY", "SLUICE_S3_SECRET_KEY"}
	if getenv(names[0]) == "" && getenv(names[1]) == "" {
		names = []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
		c.s3.SessionToken = getenv("AWS_SESSION_TOKEN")
	}
	c.s3.AccessKey, c.s3.SecretKey = getenv(names[0]), getenv(names[1])
	switch {
	case c.s3.AccessKey == "" && c.s3.SecretKey == "":
		return Config{}, errors.New("credentials: set SLUICE_S3_ACCESS_KEY and SLUICE_S3_SECRET_KEY " +
			"(or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) in the environment")
	case c.s3.AccessKey == "":
		return Config{}, fmt.Errorf("credentials: %s is set and %s is not", names[1], names[0])
	case c.s3.SecretKey == "":
		return Config{}, fmt.Errorf("credentials: %s is set and %s is not", names[0], names[1])
	}
	return c, c.s3.check()
}

func folderPath(u *url.URL) (string, error) {
	name := u.Path
	if u.Opaque != "" {
		var err error
		if name, err = url.PathUnescape(u.Opaque); err != nil {
			return "", errors.New("path: it cannot be read")
		}
	}
	switch {
	case u.Host != "" && u.Host != "localhost":
		return "", fmt.Errorf("host %q: a path begins after three slashes, file:///var/…", u.Host)
	case name == "" || name == "/":
		return "", errors.New("path: a folder is missing")
	case strings.ContainsRune(name, 0):
		return "", errors.New("path: it holds a zero byte")
	}
	return name, nil
}

// Open opens the store. A folder is made where it is missing; a bucket is not asked.
func (c Config) Open() (Store, error) {
	if c.folder != "" {
		f, err := OpenFolder(c.folder, c.grace)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
	s, err := OpenS3(c.s3)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// String says where the store is, without credentials.
func (c Config) String() string {
	if c.folder != "" {
		return "folder " + c.folder
	}
	return c.s3.String()
}

// GoString leaves the credentials out.
func (c Config) GoString() string { return c.String() }

// params takes a URL's parameters one by one and remembers the first that is wrong.
type params struct {
	values url.Values
	known  []string
	err    error
}

func (p *params) text(name string) string {
	p.known = append(p.known, name)
	return p.values.Get(name)
}

func (p *params) duration(name string, least time.Duration) time.Duration {
	text := p.text(name)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if (err != nil || d < least) && p.err == nil {
		p.err = fmt.Errorf("parameter %s: %q is no duration of at least %v", name, text, least)
	}
	return d
}

func (p *params) choice(name string) *bool {
	text := p.text(name)
	if text == "" {
		return nil
	}
	b, err := strconv.ParseBool(text)
	if err != nil && p.err == nil {
		p.err = fmt.Errorf("parameter %s: %q is neither true nor false", name, text)
	}
	return &b
}

func (p *params) finish() error {
	for _, name := range slices.Sorted(maps.Keys(p.values)) {
		if !slices.Contains(p.known, name) {
			return fmt.Errorf("parameter %q: it is unknown; known are %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}
