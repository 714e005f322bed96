package tryton

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/httpx"
)

// Whatever a server answers, it becomes a result or an error with a verdict, and
// no secret and no half character gets out.
func FuzzAnswer(f *testing.F) {
	const secret = "s3cret-of-ours"
	for _, seed := range []string{
		`{"id":1,"result":[{"id":1,"list_price":{"__class__":"Decimal","decimal":"12.50"}}]}`,
		`{"id":1,"result":[{"list_price":{"__class__":"Decimal","decimal":"NaN"}}]}`,
		`{"id":1,"error":["UserError",["` + secret + `","",null]]}`, `{"id":1,"error":["'x'","trace"]}`, `{"error":[]}`, `{"error":null,"result":null}`,
		`{"error":["UserWarning",[1,2,3]]}`, `{"error":["ConcurrencyException",7]}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(seed))
	}
	client := httpx.New(httpx.Options{Secrets: []string{secret}})
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, kind := range []calls{reads, writes} {
			var page []*variant
			err := decode(client, "model.product.product.read", kind, body, &page)
			if err == nil {
				continue
			}
			e := connectors.AsError(err)
			if text := e.Error(); e.Verdict == "" || e.Err == nil || !utf8.ValidString(text) || strings.Contains(text, secret) {
				t.Errorf("%q: %+v", body, e)
			}
		}
	})
}
