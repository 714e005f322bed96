package jobs

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/postgres"
)

// What a service gave no good answer to was perhaps paid for. It is not asked the
// same again for a while, whichever text has it: not while another service is
// waited for, nor for each of a thousand products with the same sentence. Only
// who wants a text tried again that failed by it has it asked again. A process
// remembers this for itself; one that starts asks once more.

// refusal names what a provider gave no good answer to: a segment or, with a
// version of -1, a text that it was to write.
type refusal struct {
	provider string
	from, to pim.Locale
	key      [32]byte
	version  int64
}

// refusedAt is when, and what was wrong.
type refusedAt struct {
	at     time.Time
	faults []postgres.TextFault
}

const (
	refusals    = 10_000
	failures    = 100_000
	refusedWait = time.Hour
)

// lately are the faults of what a provider refused within the last hour. Who
// knew of it when it failed, at again, is asked for anew.
func (t *Texts) lately(r refusal, again time.Time) ([]postgres.TextFault, bool) {
	was, is := t.refused.Get(r)
	if !is || time.Since(was.at) >= refusedWait || !again.IsZero() && !again.Before(was.at) {
		return nil, false
	}
	return was.faults, true
}

func (k *pairWork) refusal(provider string, u *unit) refusal {
	return refusal{provider, k.from, k.to, u.seg.Key, u.in.version}
}

// refuse notes that a provider gave no good answer to a segment.
func (t *Texts) refuse(provider string, k *pairWork, u *unit, faults ...postgres.TextFault) {
	u.blame(faults)
	t.refused.Add(k.refusal(provider, u), refusedAt{time.Now(), faults})
}

func (t *Texts) refusedLately(provider string, k *pairWork, u *unit) bool {
	faults, is := t.lately(k.refusal(provider, u), u.again)
	if is {
		u.blame(faults)
	}
	return is
}

func (u *unit) blame(faults []postgres.TextFault) {
	u.faults = append(u.faults, faults[:min(len(faults), maxTextFaults-len(u.faults))]...)
}

// written is the refusal of a text that a provider was to write.
func (it *textItem) written(provider string) refusal {
	key := sha256.Sum256([]byte(strconv.FormatInt(it.was.ID, 10) + "/" + it.cover.hash() + "/" + strconv.FormatInt(it.cover.rule.Rev, 10)))
	return refusal{provider, it.cover.rule.From, it.was.Locale, key, -1}
}

func faultOf(code, why string) postgres.TextFault {
	return postgres.TextFault{Code: code, Severity: pim.SeverityError, Text: why}
}
