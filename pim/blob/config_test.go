package blob

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgtype"
)

func environment(pairs ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i] == name {
				return pairs[i+1]
			}
		}
		return ""
	}
}

var keys = environment("SLUICE_S3_ACCESS_KEY", "AK", "SLUICE_S3_SECRET_KEY", "topsecret",
	"AWS_ACCESS_KEY_ID", "other", "AWS_SECRET_ACCESS_KEY", "other", "AWS_SESSION_TOKEN", "other")

func TestParse(t *testing.T) {
	yes := true
	for raw, want := range map[string]Config{
		"file:///var/lib/sluice/blobs":        {folder: "/var/lib/sluice/blobs"},
		"file://localhost/a%20b?grace=90m":    {folder: "/a b", grace: 90 * time.Minute},
		"file:data/blobs":                     {folder: "data/blobs"},
		"s3://bucket":                         {s3: S3Options{Bucket: "bucket", AccessKey: "AK", SecretKey: "topsecret"}},
		"s3://bucket/a/b/?grace=2h&spool=/v":  {grace: 2 * time.Hour, s3: S3Options{Bucket: "bucket", Prefix: "a/b", Grace: 2 * time.Hour, Spool: "/v", AccessKey: "AK", SecretKey: "topsecret"}},
		"s3://b-1?endpoint=http://[::1]:9000": {s3: S3Options{Bucket: "b-1", Endpoint: "http://[::1]:9000", AccessKey: "AK", SecretKey: "topsecret"}},
		"s3://b-1?region=eu-west-1&path_style=true": {s3: S3Options{
			Bucket: "b-1", Region: "eu-west-1", PathStyle: &yes, AccessKey: "AK", SecretKey: "topsecret",
		}},
	} {
		got, err := Parse(raw, keys)
		if err != nil || !cmp.Equal(got, want, cmp.AllowUnexported(Config{})) {
			t.Errorf("%s: %v\n%s", raw, err, cmp.Diff(want, got, cmp.AllowUnexported(Config{})))
		}
	}
	aws, err := Parse("s3://bucket", environment("AWS_ACCESS_KEY_ID", "A", "AWS_SECRET_ACCESS_KEY", "B", "AWS_SESSION_TOKEN", "C"))
	if err != nil || aws.s3.AccessKey+aws.s3.SecretKey+aws.s3.SessionToken != "ABC" {
		t.Errorf("Amazon's names: %v", err)
	}
	for raw, want := range map[string]string{
		"":                                           `scheme ""`,
		"/var/lib/sluice":                            `scheme ""`,
		"http://bucket":                              `scheme "http"`,
		"file://var/lib":                             `host "var"`,
		"file://":                                    "path: ",
		"file:///":                                   "path: ",
		"file:///a?region=x":                         `parameter "region": it is unknown; known are grace`,
		"file:///a?grace=1ms":                        "parameter grace",
		"file:///a%00b":                              "path: ",
		"s3://bucket?grace=10m":                      "parameter grace",
		"s3://bucket?grace=2h&grace=3h":              "parameter grace: it is there twice",
		"s3://bucket?secret_key=topsecret":           `parameter "secret_key": it is unknown`,
		"s3://bucket?path_style=perhaps":             "parameter path_style",
		"s3://bucket?region=a/b":                     "region",
		"s3://bucket?endpoint=minio:9000":            "endpoint must be",
		"s3://bucket?endpoint=https://h/p":           "endpoint must be",
		"s3://bucket?endpoint=https://u:topsecret@h": "endpoint must be",
		"s3://bucket?endpoint=https://h:topsecret":   "endpoint must be",
		"s3://AK:topsecret@bucket":                   "user and password",
		"s3://bucket:topsecret":                      "cannot be read",
		"s3://bucket#topsecret":                      "fragment",
		"s3://bucket?%zz=topsecret":                  "query cannot be read",
		"s3://":                                      "bucket",
		"s3://Bad_Bucket":                            "bucket",
		"s3://bucket/a/../b":                         "prefix",
		"s3://bucket/a//b":                           "prefix",
		"s3://bucket/../b":                           "prefix",
	} {
		_, err := Parse(raw, keys)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%s: %v, want %q", raw, err, want)
		}
	}
	for _, env := range []func(string) string{
		environment(), environment("SLUICE_S3_ACCESS_KEY", "AK", "AWS_SECRET_ACCESS_KEY", "x"), environment("AWS_SECRET_ACCESS_KEY", "x"),
	} {
		if _, err := Parse("s3://bucket", env); err == nil || !strings.Contains(err.Error(), "credentials: ") {
			t.Errorf("without credentials: %v", err)
		}
	}
}

func TestConfigOpens(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "blobs")
	server := newSignedServer(t)
	env := environment("SLUICE_S3_ACCESS_KEY", testAccess, "SLUICE_S3_SECRET_KEY", testSecret)
	for _, raw := range []string{
		"file://" + dir + "?grace=90m",
		"s3://" + testBucket + "/x?grace=90m&region=" + testRegion + "&endpoint=" + server.URL,
	} {
		c, err := Parse(raw, env)
		if err != nil {
			t.Fatal(err)
		}
		s, err := c.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err != nil || s.Grace() != 90*time.Minute {
			t.Error(err, s.Grace())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	c, err := Parse("file:///dev/null/blobs", env)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := c.Open(); err == nil || s != nil {
		t.Errorf("a folder below a file: %v, %v", s, err)
	}
}

// TestConfigIsSilent prints a configuration in every way that logs know.
func TestConfigIsSilent(t *testing.T) {
	c, err := Parse("s3://bucket/p?region=eu-west-1", keys)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, v := range []any{c, &c, c.s3, &c.s3, struct{ C Config }{c}, struct{ O S3Options }{c.s3}} {
		fmt.Fprintf(&out, "%v %+v %#v %s\n", v, v, v, v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "store", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "store", v)
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(b)
	}
	if text := out.String(); strings.Contains(text, "topsecret") || !strings.Contains(text, "s3://bucket/p at https://s3.eu-west-1.amazonaws.com") {
		t.Error(text)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("file:///var/lib/sluice?grace=1h")
	f.Add("s3://bucket/prefix?endpoint=https://h:1&region=r&path_style=true&spool=/t")
	f.Fuzz(func(t *testing.T, raw string) {
		c, err := Parse(raw, keys)
		if err == nil && (c.folder == "") == (c.s3.Bucket == "") {
			t.Errorf("%q: %#v", raw, c)
		}
	})
}

func FuzzHash(f *testing.F) {
	f.Add(strings.Repeat("0f", 32))
	f.Add(strings.Repeat("0F", 32))
	f.Fuzz(func(t *testing.T, text string) {
		h, err := ParseHash(text)
		if err == nil && h.String() != text {
			t.Errorf("%q is read as %v", text, h)
		}
		if k, ok := keyHash(text); ok && k.key() != text {
			t.Errorf("key %q is read as %v", text, k)
		}
	})
}

func TestHash(t *testing.T) {
	h, err := ParseHash("00" + strings.Repeat("af", 31))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[Hash]Hash{h: h})
	var back map[Hash]Hash
	if err != nil || json.Unmarshal(b, &back) != nil || back[h] != h {
		t.Errorf("JSON: %s, %v", b, err)
	}
	for _, bad := range []string{"", "00", strings.Repeat("AF", 32), strings.Repeat("g0", 32), strings.Repeat("0", 65)} {
		if _, err := ParseHash(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
	// As pgx does it, binary and as text, alone and in a list.
	m := pgtype.NewMap()
	for _, format := range []int16{pgtype.BinaryFormatCode, pgtype.TextFormatCode} {
		b, err := m.Encode(pgtype.ByteaOID, format, h, nil)
		var one Hash
		if err != nil || m.Scan(pgtype.ByteaOID, format, b, &one) != nil || one != h {
			t.Errorf("bytea: %x, %v", b, err)
		}
		b, err = m.Encode(pgtype.ByteaArrayOID, format, []Hash{h, {}}, nil)
		var list []Hash
		if err != nil || m.Scan(pgtype.ByteaArrayOID, format, b, &list) != nil || len(list) != 2 || list[0] != h {
			t.Errorf("bytea[]: %x, %v, %v", b, err, list)
		}
		var none *Hash
		if err := m.Scan(pgtype.ByteaOID, format, nil, &none); err != nil || none != nil {
			t.Errorf("null: %v, %v", none, err)
		}
		if err := m.Scan(pgtype.ByteaOID, format, nil, &one); err == nil {
			t.Error("null is read as a hash")
		}
	}
	raw, err := m.Encode(pgtype.ByteaOID, pgtype.BinaryFormatCode, h, nil)
	if err != nil || !bytes.Equal(raw, h[:]) {
		t.Errorf("bytea holds %x", raw)
	}
}
