package postgres

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// named are a statement's arguments by name, as pgx.NamedArgs, for the
// statements that run with every edit and every delivery: pgx looks through a
// statement's text for names each time, which costs a twentieth of such a
// process; here it is done once for each statement.
type named map[string]any

// rewritten are the statements with numbers in place of names, by their texts.
// Statements are constants, so there are as many as the program has.
var rewritten sync.Map // string → *numbered

type numbered struct {
	sql   string
	names []string
}

// RewriteQuery implements pgx.QueryRewriter.
func (n named) RewriteQuery(ctx context.Context, conn *pgx.Conn, sql string, args []any) (string, []any, error) {
	known, ok := rewritten.Load(sql)
	if !ok {
		// Asked with its own name as each argument, pgx says in which order it wants them.
		probe := make(pgx.NamedArgs, len(n))
		for name := range n {
			probe[name] = name
		}
		text, order, err := probe.RewriteQuery(ctx, conn, sql, args)
		if err != nil {
			return "", nil, err
		}
		q := &numbered{sql: text, names: make([]string, len(order))}
		for i, v := range order {
			name, given := v.(string)
			if !given {
				return pgx.NamedArgs(n).RewriteQuery(ctx, conn, sql, args) // a name without an argument: null, as in pgx
			}
			q.names[i] = name
		}
		known, _ = rewritten.LoadOrStore(sql, q)
	}
	q := known.(*numbered)
	values := make([]any, len(q.names))
	for i, name := range q.names {
		values[i] = n[name]
	}
	return q.sql, values, nil
}
