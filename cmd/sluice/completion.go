//go:build unix

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the command's longer text.
func (completionCmd) Help() string {
	return `bash: source <(sluice completion bash). zsh: sluice completion zsh > a folder of $fpath, as _sluice. ` +
		`fish: sluice completion fish > ~/.config/fish/completions/sluice.fish.`
}

// Run prints the script. It is made of the command line's own model, so it
// knows every command and flag that this binary has.
func (s completionCmd) Run(c console, k *kong.Kong) error {
	places := placesOf(k.Model.Node)
	switch s.Shell {
	case "bash":
		return bashCompletion(c.out, places)
	case "zsh":
		return zshCompletion(c.out, places)
	default:
		return fishCompletion(c.out, places)
	}
}

// place is a command with what can stand behind it.
type place struct {
	path     string // "channel create"; "" is the program itself
	commands []word
	flags    []flagWord
	files    bool   // takes a file
	values   []word // that its argument may have
}

type word struct{ name, help string }

type flagWord struct {
	word
	takes  bool // a value
	file   bool // that is a file
	values []string
}

// placesOf walks the model, the program first.
func placesOf(root *kong.Node) (list []place) {
	var walk func(n *kong.Node, path string)
	walk = func(n *kong.Node, path string) {
		p := place{path: path}
		for _, group := range n.AllFlags(true) {
			for _, f := range group {
				p.flags = append(p.flags, flagOf(f)...)
			}
		}
		for _, arg := range n.Positional {
			switch {
			case arg.Enum != "":
				for _, v := range strings.Split(arg.Enum, ",") {
					p.values = append(p.values, word{name: v})
				}
			case arg.Name == "file":
				p.files = true
			}
		}
		for _, child := range n.Children {
			if !child.Hidden {
				p.commands = append(p.commands, word{child.Name, firstSentence(child.Help)})
			}
		}
		list = append(list, p)
		for _, child := range n.Children {
			if !child.Hidden {
				walk(child, strings.TrimSpace(path+" "+child.Name))
			}
		}
	}
	walk(root, "")
	return list
}

func flagOf(f *kong.Flag) []flagWord {
	w := flagWord{word: word{"--" + f.Name, firstSentence(f.Help)}, takes: !f.IsBool()}
	w.file = f.PlaceHolder == "FILE" || f.PlaceHolder == "DIR"
	if f.Enum != "" {
		w.values = strings.Split(f.Enum, ",")
	}
	out := []flagWord{w}
	if f.Negated || f.Tag.Negatable != "" {
		out = append(out, flagWord{word: word{"--no-" + f.Name, "Not " + w.name}})
	}
	return out
}

// firstSentence is short enough for a menu, and free of what shells would read.
func firstSentence(help string) string {
	if i := strings.IndexAny(help, ".;:("); i > 0 {
		help = help[:i]
	}
	return strings.TrimSpace(strings.NewReplacer("'", "", `"`, "", "`", "", "$", "", "\\", "", "[", "", "]", "").Replace(help))
}

func names[W any](list []W, name func(W) string) string {
	out := make([]string, len(list))
	for i, w := range list {
		out[i] = name(w)
	}
	return strings.Join(out, " ")
}

func wordName(w word) string     { return w.name }
func flagName(f flagWord) string { return f.name }

// valued are the flags that take a value, each once.
func valued(places []place) (list []flagWord) {
	for _, p := range places {
		for _, f := range p.flags {
			if f.takes && !slices.ContainsFunc(list, func(o flagWord) bool { return o.name == f.name }) {
				list = append(list, f)
			}
		}
	}
	return list
}

// bashCompletion finds the command that the words before the cursor name, and
// offers what can stand there.
func bashCompletion(w io.Writer, places []place) error {
	var b strings.Builder
	b.WriteString(`# bash completion of sluice: source <(sluice completion bash)
_sluice() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at="" i word
    for ((i = 1; i < COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]}
        case "$word" in
`)
	walkWords(&b, places, "COMPREPLY=($(compgen -W \"%s\" -- \"$cur\"))", "COMPREPLY=($(compgen -f -- \"$cur\"))", "COMPREPLY=()")
	b.WriteString("    local words=\"\" flags=\"\" files=\"\"\n    case \"$at\" in\n")
	for _, p := range places {
		fmt.Fprintf(&b, "    %q) words=%q flags=%q", p.path, strings.TrimSpace(names(p.commands, wordName)+" "+names(p.values, wordName)), names(p.flags, flagName))
		if p.files {
			b.WriteString(" files=1")
		}
		b.WriteString(" ;;\n")
	}
	b.WriteString(`    esac
    if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W "$flags" -- "$cur"))
    elif [[ $files ]]; then
        COMPREPLY=($(compgen -f -- "$cur"))
    else
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
    fi
}
complete -o filenames -F _sluice sluice
`)
	_, err := io.WriteString(w, b.String())
	return err
}

// walkWords writes what bash and zsh do alike: find the command that the words
// before the cursor name, and offer the values of the flag that stands right
// before it. valuesOf has a place for the values.
func walkWords(b *strings.Builder, places []place, valuesOf, files, nothing string) {
	fmt.Fprintf(b, "        %s) ((i++)) ;;\n        -*) ;;\n        *)\n            case \"$at $word\" in\n", strings.ReplaceAll(names(valued(places), flagName), " ", "|"))
	for _, p := range places[1:] {
		parent, name := splitPath(p.path)
		fmt.Fprintf(b, "            %q) at=%q ;;\n", parent+" "+name, p.path)
	}
	b.WriteString("            esac ;;\n        esac\n    done\n    case \"$prev\" in\n")
	for _, f := range valued(places) {
		offer := nothing
		switch {
		case f.values != nil:
			offer = fmt.Sprintf(valuesOf, strings.Join(f.values, " "))
		case f.file:
			offer = files
		}
		fmt.Fprintf(b, "    %s) %s; return ;;\n", f.name, offer)
	}
	b.WriteString("    esac\n")
}

// splitPath parts a path's last word from those before it.
func splitPath(path string) (parent, name string) {
	if i := strings.LastIndexByte(path, ' '); i >= 0 {
		return path[:i], path[i+1:]
	}
	return "", path
}

// zshCompletion is bash's way with zsh's means: words with their descriptions.
func zshCompletion(w io.Writer, places []place) error {
	var b strings.Builder
	b.WriteString(`#compdef sluice
# zsh completion of sluice: put this into a folder of $fpath, as _sluice
_sluice() {
    local at="" i word cur=${words[CURRENT]} prev=${words[CURRENT-1]}
    local -a list
    for ((i = 2; i < CURRENT; i++)); do
        word=${words[i]}
        case "$word" in
`)
	walkWords(&b, places, "compadd -- %s", "_files", ":")
	b.WriteString("    case \"$at\" in\n")
	for _, p := range places {
		fmt.Fprintf(&b, "    %q)\n        if [[ $cur == -* ]]; then\n            list=(%s)\n", p.path,
			names(p.flags, func(f flagWord) string { return described(f.word) }))
		fmt.Fprintf(&b, "        else\n            list=(%s)\n        fi\n", names(append(slices.Clone(p.commands), p.values...), described))
		if p.files {
			b.WriteString("        [[ $cur != -* ]] && _files\n")
		}
		b.WriteString("        ;;\n")
	}
	b.WriteString("    esac\n    (( ${#list} )) && _describe 'sluice' list\n}\nif [[ $zsh_eval_context[-1] == loadautofunc ]]; then\n    _sluice \"$@\"\nelse\n    compdef _sluice sluice\nfi\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func described(w word) string {
	if w.help == "" {
		return "'" + w.name + "'"
	}
	return "'" + w.name + ":" + w.help + "'"
}

// fishCompletion asks fish which words stand before the cursor.
func fishCompletion(w io.Writer, places []place) error {
	var b strings.Builder
	b.WriteString(`# fish completion of sluice: sluice completion fish > ~/.config/fish/completions/sluice.fish
function __sluice_at
    set -l at
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
`)
	fmt.Fprintf(&b, "            case %s\n                set skip 1\n            case '-*'\n            case '*'\n                switch \"$at $word\"\n", names(valued(places), flagName))
	for _, p := range places[1:] {
		parent, name := splitPath(p.path)
		fmt.Fprintf(&b, "                    case %q\n                        set at %q\n", parent+" "+name, p.path)
	}
	b.WriteString("                end\n        end\n    end\n    test \"$at\" = \"$argv[1]\"\nend\ncomplete -c sluice -f\n")
	for _, p := range places {
		at := fmt.Sprintf("complete -c sluice -n '__sluice_at %q'", p.path)
		for _, c := range append(slices.Clone(p.commands), p.values...) {
			fmt.Fprintf(&b, "%s -a '%s' -d '%s'\n", at, c.name, c.help)
		}
		if p.files {
			fmt.Fprintf(&b, "%s -F\n", at)
		}
		for _, f := range p.flags {
			fmt.Fprintf(&b, "%s -l '%s' -d '%s'", at, strings.TrimPrefix(f.name, "--"), f.help)
			switch {
			case f.values != nil:
				fmt.Fprintf(&b, " -x -a '%s'", strings.Join(f.values, " "))
			case f.file:
				b.WriteString(" -r -F")
			case f.takes:
				b.WriteString(" -x")
			}
			b.WriteString("\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
