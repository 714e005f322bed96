//go:build unix

package demo

import (
	"strings"
)

// greet says where things are, as soon as they are there.
func (d *demo) greet() {
	d.say("")
	d.say("  API       %s/v1", d.url)
	d.say("  docs      %s/docs", d.url)
	d.say("  metrics   %s/metrics", d.url)
	d.say("  API key   %s   (admin; also in %s)", d.house.state.AdminKey, d.house.path(announcementFile))
	for _, t := range d.targets {
		d.say("  target    %sstate   (%s: %s, %s, %s)", t.server.AdminURL(), t.spec.Code, t.title, t.spec.Locale, t.spec.Currency)
	}
	d.say("")
}

// try is a thing to try: one line for bash.
type try struct{ what, line string }

// tries are the three things to try. Each is one line that can be pasted, needs
// nothing but bash and curl, and waits for what it shows.
func (d *demo) tries() []try {
	var all []string
	for _, t := range d.targets {
		if t.spec.Test != nil { // it has no offers
			continue
		}
		all = append(all, string(t.spec.Code)+"="+strings.TrimSuffix(t.server.AdminURL(), "/"))
	}
	words := strings.NewReplacer(
		"{url}", d.url, "{auth}", "'Authorization: Bearer "+d.house.state.AdminKey+"'",
		"{shop}", strings.TrimSuffix(d.targets[0].server.AdminURL(), "/"), "{erp}", strings.TrimSuffix(d.targets[len(d.targets)-1].server.AdminURL(), "/"), "{all}", strings.Join(all, " "),
		"{one}", d.some(1), "{two}", d.some(2), "{three}", d.some(3),
	).Replace
	return []try{
		{
			"Edit a title, and see it arrive in the English shop:",
			words(`T="Hello at $(date +%T)"; ` +
				`curl -sS -o /dev/null -X PATCH {url}/v1/products/{one} -H {auth} -H 'Content-Type: application/merge-patch+json' -d '{"values":{"name":{"en-GB":"'"$T"'"}}}'; ` +
				`for i in {1..300}; do curl -sS {shop}/items/{one} | grep "\"title\": \"$T\"" && break; sleep 0.1; done`),
		},
		{
			"Take that shop down, edit a title 50 times, bring it back, and see that only the newest arrives:",
			words(`T=$(date +%T); curl -sS -o /dev/null -X POST {shop}/down; ` +
				`for i in {1..50}; do curl -sS -o /dev/null -X PATCH {url}/v1/products/{two} -H {auth} -H 'Content-Type: application/merge-patch+json' -d '{"values":{"name":{"en-GB":"Edit '$i' of 50 at '"$T"'"}}}'; done; ` +
				`curl -sS -o /dev/null -X POST {shop}/up; ` +
				`for i in {1..300}; do curl -sS {shop}/items/{two} | grep -q "Edit 50 of 50 at $T" && break; sleep 0.2; done; ` +
				`curl -sS "{shop}/log?sku={two}&n=1000" | awk -F'"' -v t="$T" '/"outcome"/ {o=$4} /"title"/ && o=="applied" && index($0, "at " t) && !seen[$4]++ {print "arrived: " $4; n++} END {print n+0 " of 50 edits arrived"}'`),
		},
		{
			"Set a stock to 0 in the ERP, which is read every few seconds, and see five channels change:",
			words(`curl -sS -o /dev/null -X POST "{erp}/count/{three}?quantity=0"; ` +
				`for c in {all}; do for i in {1..300}; do curl -sS ${c#*=}/items/{three} | grep -Eq '"stock": 0,?$' && echo "${c%%=*}: stock 0" && break; sleep 0.1; done; done`),
		},
	}
}

// some is the SKU of product n, or of the last one of a smaller catalogue.
func (d *demo) some(n int) string { return string(sku(min(n, d.Products))) }

// tell prints what can be tried.
func (d *demo) tell() {
	d.say("\nThree things to try, each one line for another terminal (bash):")
	for i, t := range d.tries() {
		d.say("\n%d. %s\n\n%s", i+1, t.what, t.line)
	}
	d.say("\nCtrl-C stops the demo; the next start finds everything again in %s.", d.house.dir)
}
