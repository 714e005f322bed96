package blob

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func signer(t *testing.T, keys ...byte) *Signer {
	t.Helper()
	var all [][32]byte
	for _, k := range keys {
		all = append(all, [32]byte{k})
	}
	s, err := NewSigner(all...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// checkURL takes a signed URL apart as a handler would.
func checkURL(t testing.TB, s *Signer, raw string, now time.Time) error {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return s.Check(u.Path, u.Query(), now)
}

// spelling is another last digit that a lenient decoder takes for the same bytes.
func spelling(last byte) string {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(digits, last)
	return digits[i^1 : i^1+1]
}

func TestSigner(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s := signer(t, 1)
	const path = "/media/ab12/Größe 1,5 m?&#%+.jpg"
	stable := s.Sign(path, time.Time{})
	if again := signer(t, 1).Sign(path, time.Time{}); again != stable {
		t.Errorf("not stable: %s, %s", stable, again)
	}
	// The form is for ever: documents hold it, and a new one would send all media
	// again. Worked out by another program.
	if want := "/media/x.jpg?k=a907586a&s=d_-V-W5nVQq26km8Hmf_yotd05x8mtf53ukosfyDz84"; signer(t, 1).Sign("/media/x.jpg", time.Time{}) != want {
		t.Errorf("signed %s, want %s", signer(t, 1).Sign("/media/x.jpg", time.Time{}), want)
	}
	for _, at := range []time.Time{now, now.AddDate(500, 0, 0), {}} {
		if err := checkURL(t, s, stable, at); err != nil {
			t.Errorf("without end, at %v: %v", at, err)
		}
	}
	limited := s.Sign(path, now)
	if limited == stable || checkURL(t, s, limited, now) != nil || !errors.Is(checkURL(t, s, limited, now.Add(time.Second)), ErrExpired) {
		t.Errorf("with an end: %s, %v", limited, checkURL(t, s, limited, now))
	}
	if err := checkURL(t, s, stable+"&utm_source=x", now); err != nil {
		t.Errorf("with a foreign parameter: %v", err)
	}
	// An end cannot be changed, taken away or added, nor a path.
	end := "&e=1800000000"
	if !strings.Contains(limited, end) {
		t.Fatal(limited)
	}
	for _, bad := range []string{
		strings.Replace(limited, end, "", 1),
		strings.Replace(limited, end, "&e=1900000000", 1),
		strings.Replace(limited, end, "&e=01800000000", 1),
		strings.Replace(limited, end, "&e=%2B1800000000", 1),
		strings.Replace(limited, end, "&e=", 1),
		limited + end,
		stable + end,
		stable + "&s=x",
		stable + "=",
		stable[:len(stable)-1],
		stable + "%0A",
		stable[:len(stable)-1] + spelling(stable[len(stable)-1]),
		strings.Replace(stable, "ab12", "ab13", 1),
		strings.Replace(stable, "?k=", "?k=0", 1),
		strings.Replace(stable, "&s=", "&x=", 1),
		path[:12],
	} {
		if err := checkURL(t, s, bad, now); !errors.Is(err, ErrSignature) {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestSignerRotation(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	before, during, after := signer(t, 1), signer(t, 2, 1), signer(t, 2)
	old := before.Sign("/media/x", time.Time{})
	fresh := during.Sign("/media/x", time.Time{})
	if fresh != after.Sign("/media/x", time.Time{}) || fresh == old {
		t.Error("not the first key signs")
	}
	if checkURL(t, during, old, now) != nil || checkURL(t, during, fresh, now) != nil || checkURL(t, after, fresh, now) != nil {
		t.Error("not all keys are accepted")
	}
	if !errors.Is(checkURL(t, after, old, now), ErrSignature) || !errors.Is(checkURL(t, before, fresh, now), ErrSignature) {
		t.Error("a key is accepted that is not there")
	}
	for _, keys := range [][][32]byte{nil, {{}}, {{1}, {}}, {{1}, {2}, {1}}} {
		if _, err := NewSigner(keys...); err == nil {
			t.Errorf("keys %v are accepted", keys)
		}
	}
}

// TestSignerForgery looks for two things that have the same signature.
func TestSignerForgery(t *testing.T) {
	s := signer(t, 1, 2)
	now := time.Unix(0, 0)
	paths := rapid.StringMatching(`/[a-z0-9 \n/.?&%]{0,20}`)
	ends := rapid.Custom(func(t *rapid.T) time.Time {
		if rapid.Bool().Draw(t, "never") {
			return time.Time{}
		}
		return time.Unix(rapid.Int64Range(0, 99).Draw(t, "end"), 0)
	})
	rapid.Check(t, func(t *rapid.T) {
		path, other := paths.Draw(t, "path"), paths.Draw(t, "other")
		end := ends.Draw(t, "end")
		u, err := url.Parse("http://host" + s.Sign(path, end))
		if err != nil || u.Path != path {
			t.Fatalf("path %q, %v", u.Path, err)
		}
		if err := s.Check(u.Path, u.Query(), now); err != nil {
			t.Fatal(err)
		}
		if other != path && s.Check(other, u.Query(), now) == nil {
			t.Fatalf("signature of %q fits %q", path, other)
		}
		q := u.Query()
		if q.Del("e"); !end.IsZero() && s.Check(path, q, now) == nil {
			t.Fatal("an end can be taken away")
		}
	})
}

func FuzzSigner(f *testing.F) {
	s, err := NewSigner([32]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	good, err := url.Parse(s.Sign("/media/x", time.Unix(5, 0)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add("/media/y", good.RawQuery)
	f.Add("/media/x", "k=a&s=b&e=-1")
	f.Fuzz(func(t *testing.T, path, query string) {
		q, err := url.ParseQuery(query)
		if err == nil && s.Check(path, q, time.Unix(0, 0)) == nil && (path != "/media/x" || q.Get("s") != good.Query().Get("s")) {
			t.Errorf("forged: %s?%s", path, query)
		}
	})
}
