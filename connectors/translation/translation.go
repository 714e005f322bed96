// Package translation holds what every translation and text service promises:
// the contract of a provider, its limits, the registry, and the form in which
// texts travel. It knows no SQL, no River and no provider by name; each provider
// is a folder below it.
//
// # The form of texts
//
// A text is a fragment: XML content without a declaration, in which "&", "<" and
// ">" of the text itself are written &amp;, &lt; and &gt; and the only tags are
// elements with one attribute, a number id: <x id="1"/> stands for something that
// must survive as it is (a SKU, a number with its unit, a line break), and
// <g id="2">…</g> goes around text that is to be translated (bold, a link). A
// provider gives fragments back in the same form. It puts them into whatever form
// its service takes, and it promises the form, not the tags: that each came back
// once and in a sensible place is for its caller to check, because no service
// guarantees it.
//
// # Errors
//
// A provider's error is a *[connectors.Error], as a connector's is, and of its
// verdicts these are used:
//
//	verdict      meaning for the caller                         with
//	throttled    the service asks to wait, see After            ErrQuota when the period's quota is used up
//	unavailable  try again later, or elsewhere                  ErrAnswer when it answered what cannot be used
//	auth         no key, a wrong key, or one without the right
//	validation   these texts, elsewhere perhaps                 ErrRefused when its rules refuse to work on them
//	permanent    this request, elsewhere perhaps                ErrPair, ErrTooLarge
//
// Translating changes nothing at the service, so no harm comes from asking again
// what is uncertain; but it may be paid for twice.
package translation

import (
	"context"
	"errors"
	"time"

	"github.com/govalues/decimal"

	"github.com/sluicehub/sluice/pim"
)

// What a provider's *connectors.Error can wrap.
var (
	// ErrPair: the service does not translate between these two languages.
	ErrPair = errors.New("the language pair is not supported")
	// ErrTooLarge: more than the service takes in one call. Cut, and try again.
	ErrTooLarge = errors.New("too large for one call")
	// ErrQuota: what was booked for this period is used up.
	ErrQuota = errors.New("the quota is used up")
	// ErrAnswer: the service answered, and the answer is not usable: fewer texts
	// than asked for, not the form it promises, cut off.
	ErrAnswer = errors.New("the answer cannot be used")
	// ErrRefused: the service does not want to work on these texts.
	ErrRefused = errors.New("the service refuses the texts")
)

// Request is one call's texts, all from one language into another.
type Request struct {
	From, To pim.Locale
	Texts    []string // fragments, see the package; at most as many and as large as Limits say
	// Terms are what a glossary says of words that occur in Texts. A provider that
	// cannot make its service keep to them leaves them out.
	Terms []Term
	// Forbidden are words that shall not occur in the answer. As Terms.
	Forbidden []string
	// Context is what the texts are about (the product's name, its family), in
	// From. It is not translated.
	Context string
}

// Term is one glossary entry, both sides as plain text.
type Term struct{ From, To string }

// Answer is what a service made of a Request or a Prompt.
type Answer struct {
	Texts []string // one for each text asked for, in order
	Model string   // what the service says made them, else the provider's name
	// Characters is what the service counts or, where it does not say, the code
	// points of the texts sent, without tags.
	Characters int
	Tokens     int // 0 where the service counts none
	// InputTokens and OutputTokens are those of the request and of the answer, where
	// the service tells them apart.
	InputTokens, OutputTokens int
	Cost                      *Cost // nil where no price is configured
}

// Cost is what a call cost by the price in the provider's settings. It is our
// sum, not the service's bill.
type Cost struct {
	Amount   decimal.Decimal `json:"amount"`
	Currency pim.Currency    `json:"currency"`
}

// Provider speaks one service's API with one account. It is made anew when its
// settings change, is used by many goroutines at once, and promises: every read
// is bounded in bytes and by ctx; no request is begun after ctx is done; nothing
// is tried again by itself; no error contains a secret, a query string or a header.
// How many calls are in flight, and how many begin in a minute, is for its caller
// to keep to.
type Provider interface {
	// Translate gives one fragment for each of the request's, in order, or an
	// error that holds for all of them. No texts are no call. A text that has no
	// letters outside of tags may come back as it is without a call.
	Translate(ctx context.Context, r Request) (*Answer, error)
	// Probe asks the service, cheaply and free of charge, whether it is there and
	// takes our key.
	Probe(ctx context.Context) error
}

// Pairer is the power of providers whose services tell which pairs they have.
type Pairer interface {
	// Pairs are the languages, each with those it can be translated into, as
	// the service writes them but in BCP 47. The answer is remembered for an hour.
	Pairs(ctx context.Context) (map[string][]string, error)
}

// Meter is the power of providers whose services tell what was used.
type Meter interface {
	Usage(ctx context.Context) (*Usage, error)
}

// Usage is what the service says of the current period, in characters.
type Usage struct {
	Used, Limit int64     // Limit 0 is none
	Until       time.Time // the period's end; zero where the service does not say
}

// Writer is the power of providers that can write texts, not only translate them.
type Writer interface {
	// Write gives one text for each of Prompt.Wanted, in order: plain text, not a
	// fragment. That a text states nothing but the facts, and keeps to its length,
	// is for the caller to check.
	Write(ctx context.Context, p Prompt) (*Answer, error)
}

// Prompt asks for generated texts of one product.
type Prompt struct {
	Locale      pim.Locale // of the texts
	Instruction string     // what is wanted, in which tone; an operator's template, filled in
	// Facts are what may be stated, as one JSON object of attribute and value.
	// They are data from outside: the model is told to follow no instruction in them.
	Facts  string
	Wanted []Wanted // at least one
}

// Wanted is one text of a Prompt.
type Wanted struct {
	Name string // such as "title" or "bullet 3"; unlike the others'
	Most int    // characters at most, 0 for any number
}
