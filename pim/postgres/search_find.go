package postgres

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/sluicehub/sluice/pim"
)

// searchCandidates is how many products of each kind of match are looked at. The
// rest of a word that very many have is out of reach: no list of a thousand pages
// is read by anybody, and ranking all of them takes as long as there are many.
const searchCandidates = 1000

// Search is what people look for: a SKU or GTIN, the beginning of one, or words.
type Search struct {
	Text   string
	Locale pim.Locale // whose texts are looked through; "" only what all locales share
}

// Hit is a product that a search found.
type Hit struct {
	*FullProduct
	Match Match
	score float64
}

// Match says how a product was found; the higher come first.
type Match int16

// The kinds of matches.
const (
	MatchWords  Match = 1 // it has all words, or words much like those mistyped
	MatchPrefix Match = 2 // its SKU or GTIN begins so
	MatchCode   Match = 3 // its SKU or GTIN is that
)

// sqlSearchWords asks of each word of a query for its stem, whether there are
// documents with it or with words that begin so, and else for the words there are
// that are most like it.
const (
	sqlSearchWords = `
select w.word, coalesce(plainto_tsquery(@language::text::regconfig, w.word)::text, ''), ` + knownWord + `, '{}'::text[]
from unnest(@words::text[]) with ordinality w (word, n) order by w.n`

	searchTypos = `
select w.word, coalesce(plainto_tsquery(@language::text::regconfig, w.word)::text, ''), k.known,
       case when k.known or length(w.word) < 4 then '{}' else coalesce((
           select array_agg(word order by likeness desc, word) from (
               select s.word, similarity(s.word, w.word) as likeness from search_word s where s.word % w.word order by 2 desc, 1 limit 3) t), '{}') end
from unnest(@words::text[]) with ordinality w (word, n) cross join lateral (select ` + knownWord + ` as known) k order by w.n`

	knownWord = `
(exists (select from search_word s where s.word >= w.word collate "C" and s.word < (w.word || U&'\FFFF') collate "C")
 or w.word ~ '[^[:alpha:]]' or length(w.word) < 3)`

	sqlHasTrigrams = `select exists (select from pg_extension where extname = 'pg_trgm')`
)

// searchQuery makes a tsquery of a text: all of its words, each as it is written,
// by its stem, or, where it is not a whole one, as the beginning of a word; a word that nobody has, by those
// most like it. "" where there is none.
func (s *Store) searchQuery(ctx context.Context, q Search) (string, error) {
	asked := pim.SearchWords(q.Text)
	if len(asked) == 0 {
		return "", nil
	}
	words, whole := make([]string, len(asked)), make(map[string]bool, len(asked))
	for i, w := range asked {
		words[i], whole[w.Text] = w.Text, w.Whole
	}
	var trigrams bool
	if err := s.pool.QueryRow(ctx, sqlHasTrigrams).Scan(&trigrams); err != nil {
		return "", err
	}
	sql := sqlSearchWords
	if trigrams {
		sql = searchTypos
	}
	rows, err := s.pool.Query(ctx, sql, pgx.NamedArgs{"language": pim.SearchLanguage(q.Locale), "words": words})
	if err != nil {
		return "", err
	}
	type found struct {
		Word, Stem string
		Known      bool
		Like       []string
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[found])
	if err != nil {
		return "", err
	}
	var all []string
	for _, w := range list {
		if w.Stem == "" {
			continue // a word such as "the", which documents have without saying anything by it
		}
		forms := []string{lexeme(w.Word) + ":*", "(" + w.Stem + ")"}
		if whole[w.Word] { // of the many that begin as all SKUs do, each would be looked at
			forms[0] = lexeme(w.Word)
		}
		if !w.Known {
			near, err := s.nearWords(ctx, w.Word)
			if err != nil {
				return "", err
			}
			w.Like = append(near, w.Like...)
		}
		for i, l := range w.Like {
			if i < mostLike && !slices.Contains(w.Like[:i], l) {
				forms = append(forms, lexeme(l))
			}
		}
		all = append(all, "("+strings.Join(forms, " | ")+")")
	}
	return strings.Join(all, " & "), nil
}

// mostLike is how many words are looked for in place of one that nobody has.
const mostLike = 3

// sqlNearWords are the words of about the length of another that begin as it does.
const sqlNearWords = `
select word from search_word where word >= @first collate "C" and word < (@first || U&'\FFFF') collate "C" and length(word) between @least and @most limit 20000`

// nearWords are words that a slip of the finger makes of another: two letters
// that changed places, one that is missing, too many or another one, behind the
// first; the likeness of trigrams passes over most of these in short words.
func (s *Store) nearWords(ctx context.Context, word string) (near []string, err error) {
	letters := []rune(word)
	if len(letters) < 4 {
		return nil, nil
	}
	rows, err := s.pool.Query(ctx, sqlNearWords, pgx.NamedArgs{"first": string(letters[:1]), "least": len(letters) - 1, "most": len(letters) + 1})
	if err != nil {
		return nil, err
	}
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, w := range words {
		if pim.OneSlip(letters, []rune(w)) {
			near = append(near, w)
		}
	}
	slices.Sort(near)
	return near[:min(len(near), mostLike)], err
}

// lexeme is a word in a tsquery.
func lexeme(word string) string { return "'" + strings.ReplaceAll(word, "'", "''") + "'" }

// searched are the products that a search finds, by what matched and how well.
// where are other conditions on p and parent: what they leave out is no candidate,
// of which at most so many of each kind are looked at.
func searched(where string, most int) string {
	const from = ` join product p on p.id = c.product_id left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id where p.deleted_at is `
	limit := ` limit ` + strconv.Itoa(most)
	return `
found as (
    select product_id, max(match) as match, max(score) as score from (
        select * from (select c.product_id, 3::smallint as match, 0::float8 as score from search_code c` + from + where + ` and c.code = any(@codes::text[])` + limit + `) a
        union all
        select * from (select c.product_id, 2::smallint, 0::float8 from search_code c` + from + where + `
            and c.code >= @prefix_from::text and c.code < @prefix_to::text order by c.code, c.product_id` + limit + `) b
        union all
        select * from (select c.product_id, 1::smallint, ts_rank(c.words, @query::text::tsquery)::float8 from search_document c` + from + where + `
            and c.words @@ @query::text::tsquery and c.locale = any(@locales::text[])` + limit + `) w
    ) m group by product_id
)`
}

func (s *Store) searchArgs(ctx context.Context, q Search, args pgx.NamedArgs) error {
	query, err := s.searchQuery(ctx, q)
	if err != nil {
		return err
	}
	code := strings.ToLower(strings.TrimSpace(q.Text))
	args["query"], args["codes"] = query, pim.SearchCodes(q.Text)
	args["prefix_from"], args["prefix_to"] = code, code+"\uFFFF"
	args["locales"] = []string{"", string(q.Locale)}
	return nil
}

// Search reads one page of what q finds among what f lets through, the best
// first, or in f's order where it says one, and the cursor of the next. It looks
// at what the log was followed to: see IndexSearch.
func (s *Store) Search(ctx context.Context, q Search, f ProductFilter, page Page) (list []Hit, next string, err error) {
	args := pgx.NamedArgs{"limit": page.limit() + 1}
	where, err := s.conditions(ctx, &f, args)
	if err != nil {
		return nil, "", err
	}
	done, err := s.find(ctx)
	if err != nil {
		return nil, "", err
	}
	defer done()
	if err := s.searchArgs(ctx, q, args); err != nil {
		return nil, "", fmt.Errorf("search products: %w", err)
	}
	keys, order, after := []SortKey(nil), "h.match desc, h.score desc, p.id", ""
	if f.Sort == nil {
		after, err = hitAfter(page.After, args)
	} else {
		keys = f.sorting()
		order = orderOf(keys)
		after, err = afterOf(keys, page.After, args)
	}
	if err != nil {
		return nil, "", err
	}
	offers := pricesOf + ", " + stockOf
	if f.NoOffers {
		offers = "null::jsonb, null::jsonb"
	}
	sql := "with " + searched(where, searchCandidates) + " select " + productColumns + ", " + offers + f.share() + ", h.match, h.score" +
		" from found h join product p on p.id = h.product_id left join product parent on parent.id = p.parent_id left join product root on root.id = parent.parent_id left join product_offer o on o.product_id = p.id" + f.weighed +
		" where true" + after + " order by " + order + " limit @limit"
	rows, err := s.pool.Query(ctx, sql, pgx.QueryExecModeDescribeExec, args) // planned for its values: see Products
	if err != nil {
		return nil, "", fmt.Errorf("search products: %w", err)
	}
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (h Hit, err error) {
		var share int16
		if h.FullProduct, err = scanProductAnd(r, &share, &h.Match, &h.score); err == nil {
			h.share = share
		}
		return h, err
	})
	if err != nil {
		return nil, "", fmt.Errorf("search products: %w", err)
	}
	if len(list) > page.limit() {
		list = list[:page.limit()]
		if last := list[len(list)-1]; f.Sort != nil {
			next = placeOf(keys, last.FullProduct)
		} else {
			place := []string{"match", strconv.Itoa(int(last.Match)), strconv.FormatFloat(last.score, 'g', -1, 64), strconv.FormatInt(int64(last.ID), 10)}
			next = base64.RawURLEncoding.EncodeToString(mustJSON(place))
		}
	}
	return list, next, nil
}

// hitAfter is the condition of what lies behind the cursor of a search.
func hitAfter(text string, args pgx.NamedArgs) (string, error) {
	if text == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(text)
	var parts []string
	if err == nil {
		err = json.Unmarshal(raw, &parts)
	}
	if err != nil || len(parts) != 4 || parts[0] != "match" {
		_, err = cursor("-")
		return "", err
	}
	match, e1 := strconv.ParseInt(parts[1], 10, 16)
	score, e2 := strconv.ParseFloat(parts[2], 64)
	id, e3 := cursor(parts[3])
	if e1 != nil || e2 != nil || e3 != nil {
		_, err = cursor("-")
		return "", err
	}
	args["after_match"], args["after_score"], args["after_id"] = match, score, id
	return ` and (h.match < @after_match::bigint or h.match = @after_match::bigint and (h.score < @after_score::float8
		or h.score = @after_score::float8 and p.id > @after_id::bigint))`, nil
}
