package text

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// ends lists the places between two sentences of text[from:to]: from behind the
// first's last character, quotes and brackets included, to the second's first.
// It would rather miss an end than split a sentence.
func (r *run) ends(from, to int) []place {
	const stops = ".!?…。！？｡؟۔।॥"
	var list []place
	text := r.text[:to]
	for i := from; i < to; {
		at := strings.IndexAny(text[i:], stops)
		if at < 0 {
			break
		}
		start := i + at
		i = start
		for i < to { // several stops are one
			c, size := utf8.DecodeRuneInString(text[i:])
			if !strings.ContainsRune(stops, c) {
				break
			}
			i += size
		}
		marks := text[start:i]
		for i < to {
			c, size := utf8.DecodeRuneInString(text[i:])
			if !strings.ContainsRune(`)]}"'”’»›」』）】〉》`, c) {
				break
			}
			i += size
		}
		end := i + len(text[i:]) - len(strings.TrimLeftFunc(text[i:], isSpace))
		if end < to && sureEnd(text, start, marks, text[i:end], text[end:]) {
			list = append(list, place{i, end})
		}
	}
	return list
}

// sureEnd reports whether marks, which begin at start, end a sentence, with gap
// and then rest behind them.
func sureEnd(text string, start int, marks, gap, rest string) bool {
	rest = strings.TrimLeft(rest, `([{"'“„‘‚«‹¿¡「『（【《`)
	next, _ := utf8.DecodeRuneInString(rest)
	last, _ := utf8.DecodeLastRuneInString(marks)
	switch last {
	case '。', '！', '？', '｡', '।', '॥', '۔':
		return unicode.IsLetter(next) || unicode.IsDigit(next)
	case '!', '?', '؟':
		return gap != "" && (unicode.IsLetter(next) && !unicode.IsLower(next) || unicode.IsDigit(next))
	case '…':
		return false // a pause as often as an end
	}
	if gap == "" || len(marks) > 1 || !unicode.IsLetter(next) || unicode.IsLower(next) {
		return false
	}
	return !abbreviated(text[max(0, start-48):start])
}

// abbreviated reports whether a point behind before may belong to its last word.
func abbreviated(before string) bool {
	word := before[strings.LastIndexFunc(before, isSpace)+1:]
	word = strings.TrimLeft(word, `([{"'“„‘‚«‹¿¡`)
	if i := strings.LastIndexAny(word, "-/–("); i >= 0 {
		word = word[i+1:]
	}
	last, _ := utf8.DecodeLastRuneInString(word)
	switch {
	case word == "":
		return true
	case strings.Contains(word, "."): // z.B, e.g, www.example.com
		return true
	case unicode.IsDigit(last): // an ordinal or a number; "IP67" is none
		return !strings.ContainsFunc(word, unicode.IsLetter)
	case !unicode.IsLetter(last) && !unicode.IsMark(last):
		return false
	case utf8.RuneCountInString(word) == 1:
		return true
	}
	return abbreviations[strings.ToLower(word)]
}

// abbreviations that end with a point and may stand before a capital letter, in
// the languages of the house's shops.
var abbreviations = tagSet(`
	abb abs abt allg anm art aufl bd best bestnr bspw bsp bzgl bzw ca cm³ dgl dr einschl entspr etc evtl exkl fa ff fig geb gem ggf hl hrsg inh inkl
	jh kap lfd lt max mind min mio mrd mwst nr od qm sog st std stk str tel tsd usw urspr verst vgl vol zzgl zz zt
	approx appr apt assn assoc ave bldg blvd cf co corp dept diam dim e.g ed est ext fl ft gal gen gov hon hr hrs i.e illus in inc incl ins int jr lb lbs ltd
	mfg mfr misc mr mrs ms mt no nos oz p pg pkg pl pp prof pt qt qty rd ref rep rev sec sen sgt sq sr univ var vs wt yd
	aant afb afm alg art bijv blz bv cat dd dhr div enz evt excl fr ged hfdst incl ing jl jhr mevr mgr mv nl nrs o.a ong opp pag par resp red sg t.a.v tot vb vnl zgn zn
	adj art av bd boul ch chap coll div doc éd édit env ex exempl exp fbg fig hab ill inéd janv févr juil sept oct nov déc mgr mlle mm mme mmes n° obs p.ex par phot réf seq suiv suppl tél tom trad
	admón aprox art avda cap cía col cta ctra dcha depto doc dto dña ed ej entlo esq etc excmo fdo gral hnos ilmo izq kgs máx mín n.º núm núms pág págs pral prov ptas ref rte sra sras srta sta sto tel telf tfno ud uds vda vid vol
	all ant art ca dott ecc egr fig gent ing ord pag prof rag rif sig sigg spett tab vol
	al im np nr pl prof tel tzn ul wg zob bl či kl mj napr např resp str tj tzn tzv zv
`)
