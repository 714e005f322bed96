package notify_test

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"mime/quotedprintable"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/sluicehub/sluice/connectors/notify"
	"github.com/sluicehub/sluice/connectors/notify/notifytest"
	"github.com/sluicehub/sluice/pim"
)

func message() *notify.Message {
	at := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	a := pim.Alert{ID: 7, Channel: "café", Kind: pim.AlertDown, Since: at.Add(-time.Hour), RaisedAt: at, Detail: "connection refused"}
	a.Tell()
	return &notify.Message{ID: "msg_1", At: at, Notices: []notify.Notice{{Change: notify.Raised, At: at, Alert: a}}}
}

func open(t *testing.T, kind string, config any, env notify.Env) (notify.Sender, error) {
	t.Helper()
	k, err := notify.KindOf(kind)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	return k.New(raw, env)
}

func server(t *testing.T, o notifytest.Options) *notifytest.SMTP {
	t.Helper()
	s, err := notifytest.NewSMTP(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// A mail arrives over an encrypted connection, after logging in, and says what,
// since when, why and what to do.
func TestEmail(t *testing.T) {
	for security, o := range map[string]notifytest.Options{
		"starttls": {Username: "ops", Password: "p4ssw0rd-of-ops"}, "tls": {Username: "ops", Password: "p4ssw0rd-of-ops", TLS: true}, "none": {Plain: true},
	} {
		s := server(t, o)
		config := map[string]any{"to": []string{"Ops <ops@shop.example>", "b@shop.example"}, "from": "sluice@shop.example", "host": s.Host, "port": s.Port, "security": security}
		if o.Username != "" {
			config["username"], config["password"] = o.Username, o.Password
		}
		env := notify.Env{AllowPrivate: true, Mail: notify.Mail{Roots: s.Roots}}
		sender, err := open(t, "email", config, env)
		if err != nil {
			t.Fatal(security, err)
		}
		if err := sender.Send(t.Context(), message()); err != nil {
			t.Fatal(security, err)
		}
		got := <-s.Taken()
		m, err := mail.ReadMessage(strings.NewReader(got.Data))
		if err != nil {
			t.Fatal(security, err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(security, err)
		}
		subject, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || subject != "Sluice: Channel café is down: its target does not answer" || m.Header.Get("Message-Id") != "<msg_1@shop.example>" || len(got.To) != 2 || got.From != "sluice@shop.example" {
			t.Errorf("%s: %q %v %+v", security, subject, m.Header, got)
		}
		for _, want := range []string{"Since: 2026-11-21 07:00 UTC", "Why: connection refused", "sluice channel test café", "docs/runbook.md#sluicebreakeropen"} {
			if !strings.Contains(string(body), want) {
				t.Errorf("%s: no %q in %s", security, want, body)
			}
		}
		if o.Username == "" {
			continue
		}
		// Wrong credentials are an error that does not quote them, whatever the server says.
		config["password"] = "another-p4ss"
		if sender, err = open(t, "email", config, env); err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(t.Context(), message()); err == nil || strings.Contains(err.Error(), "another-p4ss") {
			t.Errorf("%s: wrong password: %v", security, err)
		}
	}
}

// Nothing goes out where others could read it, or where the process must not go.
func TestEmailKeepsSecrets(t *testing.T) {
	plain := server(t, notifytest.Options{Plain: true})
	config := map[string]any{"to": []string{"a@b.example"}, "from": "c@d.example", "host": plain.Host, "port": plain.Port, "username": "u", "password": "p"}
	for name, env := range map[string]notify.Env{
		"without STARTTLS":     {AllowPrivate: true},
		"to a private address": {},
	} {
		sender, err := open(t, "email", config, env)
		if err != nil {
			t.Fatal(err)
		}
		if err := sender.Send(t.Context(), message()); err == nil {
			t.Errorf("%s: it was sent", name)
		}
	}
	secure := server(t, notifytest.Options{Username: "u", Password: "p"})
	config["port"] = secure.Port
	sender, err := open(t, "email", config, notify.Env{AllowPrivate: true}) // its certificate is nobody's
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message()); err == nil {
		t.Error("a certificate that nobody vouches for was taken")
	}
	if n := len(plain.Taken()) + len(secure.Taken()); n > 0 {
		t.Errorf("%d mails arrived", n)
	}
}

func TestWebhook(t *testing.T) {
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	verify, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan []byte, 1)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verify.Verify(body, r.Header); err != nil || r.Header.Get("Webhook-Id") != "msg_1" {
			http.Error(w, "not signed", http.StatusUnauthorized)
			return
		}
		got <- body
		w.WriteHeader(http.StatusNoContent)
	}))
	defer target.Close()
	sender, err := open(t, "webhook", map[string]any{"url": target.URL + "/hook?key=abcdefgh", "secret": secret}, notify.Env{AllowPrivate: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message()); err != nil {
		t.Fatal(err)
	}
	var body struct {
		Type string
		Data struct {
			Subject, Text string
			Notices       []notify.Notice
		}
	}
	if raw := <-got; json.Unmarshal(raw, &body) != nil || body.Type != "alerts" || len(body.Data.Notices) != 1 || body.Data.Notices[0].Alert.Channel != "café" ||
		!strings.Contains(body.Data.Text, "What to do") {
		t.Errorf("%s", raw)
	}
	if sender, err = open(t, "webhook", map[string]any{"url": target.URL, "secret": secret}, notify.Env{}); err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message()); err == nil {
		t.Error("a loopback address was dialled without the permission")
	}
	if sender, err = open(t, "webhook", map[string]any{"url": target.URL + "/?key=abcdefgh", "secret": "whsec_" + strings.Repeat("QUFB", 8)}, notify.Env{AllowPrivate: true}); err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(t.Context(), message()); err == nil || strings.Contains(err.Error(), "abcdefgh") {
		t.Errorf("refused, %v", err)
	}
}

func TestConfigsAreChecked(t *testing.T) {
	for config, want := range map[string]string{
		`email {}`: "/from /host /to", `email {"to":["x"],"from":"a@b.c","host":"h","security":"ssl"}`: "/security /to",
		`email {"to":["a@b.c"],"from":"a@b.c","host":"h","security":"none","password":"x"}`: "/security", `email {"to":["a@b.c"],"from":"a@b.c","host":"h:25","port":-1}`: "/host /port",
		`email {"to":["a@b.c\r\nBcc: d@e.f"],"from":"a@b.c","host":"h"}`: "/to",
		`webhook {}`: "/secret /url", `webhook {"url":"ftp://x","secret":"no"}`: "/secret /url", `webhook {"url":"https://x/","secret":"whsec_"}`: "/secret",
	} {
		kind, raw, _ := strings.Cut(config, " ")
		k, err := notify.KindOf(kind)
		if err != nil {
			t.Fatal(err)
		}
		_, err = k.New(json.RawMessage(raw), notify.Env{})
		var at []string
		if invalid, ok := errors.AsType[*pim.Invalid](err); ok {
			for _, p := range invalid.Problems {
				at = append(at, p.Pointer)
			}
		}
		for _, pointer := range strings.Fields(want) {
			if !strings.Contains(" "+strings.Join(at, " ")+" ", " "+pointer+" ") {
				t.Errorf("%s: %v, want %s", config, err, want)
			}
		}
	}
	if _, err := notify.ParseMail("http://user:hunter2@x", ""); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Error(err)
	}
	if m, err := notify.ParseMail("smtps://me%40x.example:pw@mail.x.example", ""); err != nil || m.Port != 465 || m.Username != "me@x.example" || m.From != "me@x.example" || m.Password != "pw" {
		t.Errorf("%+v %v", m, err)
	}
}
