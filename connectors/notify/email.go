package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/url"
	"strconv"
	"strings"
	"time"

	"code.dny.dev/ssrf"

	"github.com/sluicehub/sluice/connectors"
)

// How a connection to a mail server is kept from others.
const (
	startTLS = "starttls" // asked for after the greeting, and needed
	withTLS  = "tls"      // from the first byte
	noTLS    = "none"     // not at all: without credentials, and on private networks only
)

// Mail is a mail server, and who writes.
type Mail struct {
	Host, Username, Password, Security, From string
	Port                                     int
	Roots                                    *x509.CertPool // replace the system's certificate authorities
}

// ParseMail reads a server as smtp://user:password@host:port (STARTTLS) or
// smtps:// (TLS at once); its errors quote nothing of it.
func ParseMail(address, from string) (Mail, error) {
	m := Mail{From: from}
	if address == "" {
		return m, nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || u.RawQuery != "" || u.Path != "" && u.Path != "/" {
		return m, errors.New("is no address of a mail server such as smtp://user:password@mail.example.com:587 or smtps://…:465")
	}
	m.Host, m.Security, m.Port = u.Hostname(), startTLS, 587
	if u.Scheme == "smtps" {
		m.Security, m.Port = withTLS, 465
	}
	if p := u.Port(); p != "" {
		if m.Port, err = strconv.Atoi(p); err != nil || m.Port < 1 || m.Port > 65535 {
			return m, errors.New("has no port from 1 to 65535")
		}
	}
	m.Username = u.User.Username()
	m.Password, _ = u.User.Password()
	if m.Username != "" && from == "" && strings.Contains(m.Username, "@") {
		m.From = m.Username
	}
	return m, nil
}

// EmailConfig are the settings of people who are told by e-mail.
type EmailConfig struct {
	To       []string `json:"to" doc:"Who gets the messages"`
	From     string   `json:"from,omitempty" doc:"Who writes them; left out: what the process is set up with (SLUICE_MAIL_FROM)"`
	Host     string   `json:"host,omitempty" address:"true" doc:"The mail server; left out: the process's (SLUICE_SMTP_URL)"`
	Port     int      `json:"port,omitempty" doc:"Left out: 587, or 465 with security tls"`
	Security string   `json:"security,omitempty" enum:"starttls,tls,none" doc:"Left out: starttls, without which nothing is sent; none takes no credentials"`
	Username string   `json:"username,omitempty"`
	Password string   `json:"password,omitempty" secret:"true"`
}

var emailKind = &Kind{
	Name: "email", Title: "E-mail (SMTP)", Config: &EmailConfig{},
	New: func(config json.RawMessage, env Env) (Sender, error) {
		var (
			c     EmailConfig
			check connectors.ConfigCheck
		)
		check.Decode(config, &c)
		e := &email{Mail: env.Mail, private: env.AllowPrivate}
		if c.Host != "" {
			e.Mail = Mail{Host: c.Host, Port: c.Port, Security: c.Security, Username: c.Username, Password: c.Password, From: env.Mail.From, Roots: env.Mail.Roots}
			if strings.ContainsAny(c.Host, "/:@ \r\n") {
				check.Add("host", "config.host", "is a name or an IPv4 address, without port")
			}
			switch c.Security {
			case "":
				e.Security = startTLS
			case startTLS, withTLS:
			case noTLS:
				if c.Username != "" || c.Password != "" {
					check.Add("security", "config.security", "none takes no credentials: others could read them")
				}
			default:
				check.Add("security", "config.security", "is starttls, tls or none")
			}
			if e.Port == 0 {
				e.Port = 587
				if e.Security == withTLS {
					e.Port = 465
				}
			}
			if c.Port < 0 || c.Port > 65535 {
				check.Add("port", "limit", "is from 1 to 65535")
			}
		} else {
			e.private = true // the operator's own server
			if e.Host == "" {
				check.Add("host", "field.missing", "is needed: this process is set up without a mail server")
			}
			for name, v := range map[string]string{"username": c.Username, "password": c.Password, "security": c.Security} {
				if v != "" {
					check.Add(name, "config.host", "goes with a host")
				}
			}
		}
		if c.From != "" {
			e.From = c.From
		}
		if from, err := mail.ParseAddress(e.From); err != nil {
			check.Add("from", "config.address", "is no e-mail address")
		} else {
			e.sender = from
		}
		if len(c.To) == 0 || len(c.To) > 50 {
			check.Add("to", "field.missing", "has 1 to 50 addresses")
		}
		for _, to := range c.To {
			a, err := mail.ParseAddress(to)
			if err != nil {
				check.Add("to", "config.address", "has something that is no e-mail address")
				break
			}
			e.to = append(e.to, a)
		}
		if err := check.Err(); err != nil {
			return nil, err
		}
		return e, nil
	},
}

type email struct {
	Mail
	sender  *mail.Address
	to      []*mail.Address
	private bool
}

// sendMay bounds one conversation with a mail server.
const sendMay = 30 * time.Second

// Send implements Sender: one mail to all. Where the server refuses one of them,
// none gets it, and the error says so.
func (e *email) Send(ctx context.Context, m *Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendMay)
	defer cancel()
	if err := e.send(ctx, m); err != nil {
		text := err.Error()
		if e.Password != "" { // a rude server's words
			text = strings.ReplaceAll(text, e.Password, "…")
		}
		return fmt.Errorf("mail by %s: %s", e.Host, clip(text))
	}
	return nil
}

func clip(text string) string { return strings.ToValidUTF8(text[:min(len(text), 300)], "") }

func (e *email) send(ctx context.Context, m *Message) (err error) {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if !e.private {
		dialer.Control = ssrf.New(ssrf.WithAnyPort()).Safe
	}
	conn, err := dialer.DialContext(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
	if err != nil {
		return err
	}
	defer conn.Close()
	end, _ := ctx.Deadline()
	if err := conn.SetDeadline(end); err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: e.Host, RootCAs: e.Roots}
	if e.Security == withTLS {
		conn = tls.Client(conn, secure)
	}
	c, err := smtp.NewClient(conn, e.Host)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if e.Security == startTLS {
		if ok, _ := c.Extension("STARTTLS"); !ok {
			return errors.New("the server knows no STARTTLS, and without it nothing is sent")
		}
		if err := c.StartTLS(secure); err != nil {
			return err
		}
	}
	if e.Username != "" {
		if err := c.Auth(smtp.PlainAuth("", e.Username, e.Password, e.Host)); err != nil {
			return fmt.Errorf("log in: %w", err)
		}
	}
	if err := c.Mail(e.sender.Address); err != nil {
		return err
	}
	for _, to := range e.to {
		if err := c.Rcpt(to.Address); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write(e.compose(m)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_ = c.Quit() // it is the server's now
	return nil
}

// compose writes the mail. Its Message-ID is the message's, so that mail
// programs can tell a repetition.
func (e *email) compose(m *Message) []byte {
	var b bytes.Buffer
	to := make([]string, len(e.to))
	for i, a := range e.to {
		to[i] = a.String()
	}
	_, domain, _ := strings.Cut(e.sender.Address, "@")
	for _, h := range [][2]string{
		{"From", e.sender.String()},
		{"To", strings.Join(to, ",\r\n ")},
		{"Subject", mime.QEncoding.Encode("utf-8", oneLine(m.Subject()))},
		{"Date", m.At.UTC().Format(time.RFC1123Z)},
		{"Message-ID", "<" + m.ID + "@" + domain + ">"},
		{"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"},
		{"Content-Type", "text/plain; charset=utf-8"},
		{"Content-Transfer-Encoding", "quoted-printable"},
	} {
		b.WriteString(h[0] + ": " + h[1] + "\r\n")
	}
	b.WriteString("\r\n")
	q := quotedprintable.NewWriter(&b)
	_, _ = q.Write([]byte(m.Text())) // to memory
	_ = q.Close()
	return b.Bytes()
}

func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }
