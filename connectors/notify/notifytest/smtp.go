// Package notifytest is a mail server for tests, on loopback: it takes mails
// over STARTTLS or TLS from who logs in, as real ones want it, and keeps them.
package notifytest

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"time"
)

// Options say what kind of server it is.
type Options struct {
	Username, Password string // "": nobody needs to log in
	Plain              bool   // it knows no STARTTLS
	TLS                bool   // it speaks TLS from the first byte
}

// Mail is one that was taken.
type Mail struct {
	From string
	To   []string
	Data string // header and body, lines ending in \n
}

// SMTP is the server.
type SMTP struct {
	Host  string
	Port  int
	Roots *x509.CertPool // trust its certificate

	opts     Options
	listener net.Listener
	secure   *tls.Config
	taken    chan Mail

	mu      sync.Mutex
	refuse  int // mails yet to be refused for now
	running sync.WaitGroup
	conns   map[net.Conn]bool
}

// NewSMTP starts a server; Close ends it.
func NewSMTP(o Options) (*SMTP, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "mail"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a mail server: %w", err)
	}
	s := &SMTP{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port, Roots: x509.NewCertPool(), opts: o, listener: listener,
		secure: &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}},
		taken:  make(chan Mail, 1000), conns: map[net.Conn]bool{},
	}
	s.Roots.AddCert(cert)
	s.running.Go(s.accept)
	return s, nil
}

// Close ends the server and its conversations.
func (s *SMTP) Close() error {
	err := s.listener.Close()
	s.mu.Lock()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

// Taken gives the mails that were taken, in order.
func (s *SMTP) Taken() <-chan Mail { return s.taken }

// Refuse has the next n mails refused for now.
func (s *SMTP) Refuse(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = n
}

func (s *SMTP) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns[conn] = true
		s.mu.Unlock()
		s.running.Go(func() {
			defer func() {
				_ = conn.Close()
				s.mu.Lock()
				delete(s.conns, conn)
				s.mu.Unlock()
			}()
			if s.opts.TLS {
				s.talk(tls.Server(conn, s.secure), true)
			} else {
				s.talk(conn, false)
			}
		})
	}
}

// talk holds one conversation, by RFC 5321, 3207 and 4954 as far as clients
// here need it.
func (s *SMTP) talk(conn net.Conn, secured bool) {
	r := textproto.NewReader(bufio.NewReader(conn))
	say := func(format string, args ...any) { _, _ = fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 mail")
	var m Mail
	known := s.opts.Username == ""
	for {
		line, err := r.ReadLine()
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(line, " ")
		switch verb = strings.ToUpper(verb); verb {
		case "EHLO":
			say("250-mail")
			if !secured && !s.opts.Plain {
				say("250-STARTTLS")
			}
			if secured && s.opts.Username != "" {
				say("250-AUTH PLAIN")
			}
			say("250 8BITMIME")
		case "STARTTLS":
			if secured || s.opts.Plain {
				say("503 no")
				continue
			}
			say("220 go on")
			conn, secured = tls.Server(conn, s.secure), true
			r = textproto.NewReader(bufio.NewReader(conn))
		case "AUTH":
			_, response, _ := strings.Cut(rest, " ")
			plain, err := base64.StdEncoding.DecodeString(response)
			if known = err == nil && string(plain) == "\x00"+s.opts.Username+"\x00"+s.opts.Password; known {
				say("235 welcome")
			} else {
				say("535 not you, %s", plain) // a rude server
			}
		case "MAIL", "RCPT":
			if !known {
				say("530 log in first")
				continue
			}
			_, address, _ := strings.Cut(rest, "<")
			address, _, _ = strings.Cut(address, ">")
			if verb == "MAIL" {
				m = Mail{From: address}
			} else {
				m.To = append(m.To, address)
			}
			say("250 ok")
		case "DATA":
			say("354 go on")
			lines, err := r.ReadDotLines()
			if err != nil {
				return
			}
			s.mu.Lock()
			refused := s.refuse > 0
			s.refuse = max(0, s.refuse-1)
			s.mu.Unlock()
			if refused {
				say("451 later")
				continue
			}
			m.Data = strings.Join(lines, "\n")
			s.taken <- m
			say("250 taken")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("502 what")
		}
	}
}
