//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strings"
	"time"

	"github.com/sluicehub/sluice/api"
	"github.com/sluicehub/sluice/cmd/sluice/ascode"
	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/connectors/all"
	"github.com/sluicehub/sluice/connectors/notify"
	translationall "github.com/sluicehub/sluice/connectors/translation/all"
	"github.com/sluicehub/sluice/jobs"
	"github.com/sluicehub/sluice/pim/postgres"
)

// apiTimeout bounds one request to a house elsewhere.
const apiTimeout = time.Minute

// houseFlags say which house is meant: one behind its API, or the database's.
type houseFlags struct {
	files
	mailServer
	URL string `name:"api-url" env:"SLUICE_API_URL" placeholder:"URL" help:"The address of a house's API, such as https://pim.example; SLUICE_API_KEY has its key. Without it the database is used."`

	AllowPrivateTargets bool `env:"SLUICE_ALLOW_PRIVATE_TARGETS" help:"Let what is made send to loopback and private addresses. Behind an API its server decides."`
}

// on opens the house for do.
func (f houseFlags) on(ctx context.Context, log *slog.Logger, do func(*ascode.House) error) error {
	if f.URL != "" {
		house, err := ascode.Open(ctx, ascode.NewClient(apiTimeout), f.URL, os.Getenv("SLUICE_API_KEY"))
		if err != nil {
			return err
		}
		return do(house)
	}
	server, err := f.mail()
	if err != nil {
		return err
	}
	keys, err := f.open()
	if err != nil {
		return err
	}
	return f.use(ctx, func(store *postgres.Store, media *jobs.Media) error {
		var woken []postgres.Consumer
		handler, err := api.New(api.Config{
			Store: store, Registry: all.Registry(), Log: log, Version: versionText(), Actor: me(), Media: media,
			Channels:  jobs.NewChannels(store, all.Registry(), keys, connectors.Env{AllowPrivate: f.AllowPrivateTargets, Version: versionText()}),
			Texts:     jobs.NewTexts(jobs.TextsConfig{Store: store, Registry: translationall.Registry(), Keys: keys, Log: log, AllowPrivate: f.AllowPrivateTargets, Version: versionText()}),
			Notifiers: jobs.NewNotifiers(store, keys, notify.Env{AllowPrivate: f.AllowPrivateTargets, Version: versionText(), Mail: server}),
			Wake:      func(c ...postgres.Consumer) { woken = append(woken, c...) },
		})
		if err != nil {
			return err
		}
		house, err := ascode.Open(ctx, ascode.Inside{Handler: handler}, "http://sluice", "")
		if err != nil {
			return err
		}
		defer func() {
			if len(woken) > 0 {
				wakeAll(ctx, log, store, woken...)
			}
		}()
		return do(house)
	})
}

// me is who changes things from the command line.
func me() string {
	if u, err := user.Current(); err == nil && u.Username != "" {
		return "cli: " + u.Username
	}
	return "cli"
}

type diffCmd struct {
	houseFlags
	Files   string `short:"f" required:"" type:"path" help:"A YAML file, or a folder of them."`
	Prune   bool   `help:"Of the kinds that the files have, what they do not name is to be deleted."`
	Secrets bool   `help:"Secrets that are set already are to be set again."`
	JSON    bool   `name:"json" help:"Print the plan as a JSON object."`
}

// Help is the command's longer text.
func (diffCmd) Help() string {
	return `Compares the documents of YAML files with the house, and changes nothing. The exit status is 0 where nothing differs, 3 where something does, and 1 if it failed. docs/code.md says what documents look like.`
}

// Run compares.
func (d diffCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return d.planned(ctx, log, func(_ *ascode.House, plan *ascode.Plan, _ ascode.Options) error {
		if err := d.show(c.out, plan); err != nil {
			return err
		}
		if len(plan.Changes) > 0 {
			return errDiffers
		}
		return nil
	})
}

func (d diffCmd) planned(ctx context.Context, log *slog.Logger, do func(*ascode.House, *ascode.Plan, ascode.Options) error) error {
	documents, err := ascode.Load(d.Files)
	if err != nil {
		return err
	}
	o := ascode.Options{Prune: d.Prune, Secrets: d.Secrets}
	return d.on(ctx, log, func(house *ascode.House) error {
		plan, err := house.Compare(ctx, documents, o)
		if err != nil {
			return err
		}
		return do(house, plan, o)
	})
}

func (d diffCmd) show(w io.Writer, plan *ascode.Plan) error {
	if d.JSON {
		return printJSON(w, plan)
	}
	_, err := io.WriteString(w, planned(plan))
	return err
}

// signs stand before changes as people read them.
var signs = map[ascode.Action]string{ascode.Create: "+", ascode.Update: "~", ascode.Delete: "-"}

// shownValue is how long a value of a plan is at most, in bytes.
const shownValue = 120

// planned tells a plan to people.
func planned(plan *ascode.Plan) string {
	var b strings.Builder
	for _, c := range plan.Changes {
		fmt.Fprintf(&b, "%s %s %s", signs[c.Action], c.Resource, c.Code)
		if c.Place != "" {
			fmt.Fprintf(&b, "    %s", c.Place)
		}
		b.WriteByte('\n')
		for _, d := range c.Differences {
			if c.Action == ascode.Create {
				fmt.Fprintf(&b, "    %s: %s\n", d.Field, shortJSON(d.New))
			} else {
				fmt.Fprintf(&b, "    %s: %s → %s\n", d.Field, shortJSON(d.Old), shortJSON(d.New))
			}
		}
	}
	fmt.Fprintf(&b, "%d to change, %d as they are wanted\n", len(plan.Changes), plan.Unchanged)
	return b.String()
}

func shortJSON(v any) string {
	if v == nil {
		return "nothing"
	}
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if len(b) > shownValue {
		return strings.ToValidUTF8(string(b[:shownValue]), "") + "…"
	}
	return string(b)
}

type applyCmd struct {
	diffCmd
	Yes bool `help:"Apply without asking."`
}

// Help is the command's longer text.
func (applyCmd) Help() string {
	return `Shows what the documents of YAML files would change, asks, and changes it: what others refer to first. It ends at the first change that the house refuses; those before it stay, and the next run goes on there. A deletion of what is in use is passed over and told at the end. Applying twice changes nothing. docs/code.md says what documents look like.`
}

// Run applies.
func (a applyCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return a.planned(ctx, log, func(house *ascode.House, plan *ascode.Plan, o ascode.Options) error {
		if err := a.show(c.out, plan); err != nil || len(plan.Changes) == 0 {
			return err
		}
		if !a.Yes {
			if !isTerminal(c.in) {
				return errors.New("there is nobody to ask: give --yes to apply this")
			}
			fmt.Fprint(c.err, "Apply this? Only yes will do: ")
			if line, err := bufio.NewReader(c.in).ReadString('\n'); err != nil || strings.TrimSpace(line) != "yes" {
				return errors.New("nothing was applied")
			}
		}
		done, same := 0, 0
		err := house.Apply(ctx, plan, o, func(change ascode.Change) {
			if done++; change.Same {
				same++
				fmt.Fprintf(c.err, "%s %s is as it was: the house had already what is asked for\n", change.Resource, change.Code)
			}
			for _, w := range change.Warnings {
				fmt.Fprintf(c.err, "%s %s: %s\n", change.Resource, change.Code, w)
			}
			log.InfoContext(ctx, "applied", "action", change.Action, "resource", change.Resource, "code", change.Code)
		})
		if err != nil {
			return fmt.Errorf("%d of %d changes were made, but not: %w", done-same, len(plan.Changes), err)
		}
		if !a.JSON {
			fmt.Fprintf(c.out, "%d changes made\n", done-same)
		}
		return nil
	})
}

type dumpCmd struct {
	houseFlags
	Dir string `arg:"" type:"path" help:"The folder to write to. Files of the same names are replaced."`
}

// Help is the command's longer text.
func (dumpCmd) Help() string {
	return `Writes what is set in the house as YAML documents, one file for each kind, as sluice apply takes them. Secrets are never told: their places name environment variables.`
}

// Run dumps.
func (d dumpCmd) Run(ctx context.Context, c console, log *slog.Logger) error {
	return d.on(ctx, log, func(house *ascode.House) error {
		files, err := house.Dump(ctx, d.Dir)
		for _, f := range files {
			fmt.Fprintln(c.out, f)
		}
		return err
	})
}
