package woocommerce

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/sluicehub/sluice/connectors"
	"github.com/sluicehub/sluice/pim"
)

// picture is an image as the shop has it.
type picture struct {
	ID   int64  `json:"id"`
	Name string `json:"name"`
}

// nameOf is the name under which a picture is uploaded. The end of it says where
// it came from, so that it is not uploaded again.
func nameOf(src string) string {
	stem, _, _ := strings.Cut(src[strings.LastIndexByte(src, '/')+1:], "?")
	stem, _, _ = strings.Cut(stem, ".")
	words := strings.FieldsFunc(strings.ToLower(stem), func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') })
	name := strings.Join(words, "-")
	if len(name) > 60 {
		name = name[:60]
	}
	return name + mark(src)
}

// markLength is that of a mark: a hyphen and six bytes in hexadecimal.
const markLength = 13

// mark is the end of the name of the picture from an address.
func mark(src string) string {
	sum := sha256.Sum256([]byte(src))
	return "-" + hex.EncodeToString(sum[:6])
}

// library is what is remembered of the shop's own: which pictures it has loaded.
// Any number of products and variations may show one; sent by its address, the
// shop would load it once for each. A hint, never the truth: what somebody
// removed from the shop is refused, and sent by its address then.
type library struct {
	ids     *lru.Cache[string, int64] // by their marks
	loading connectors.Locks[string]  // by their marks: one push at a time has a picture loaded
}

// learn notes what the shop showed.
func (l *library) learn(list ...picture) {
	for _, p := range list {
		if n := len(p.Name) - markLength; p.ID > 0 && n >= 0 && p.Name[n] == '-' {
			l.ids.Add(p.Name[n:], p.ID)
		}
	}
}

func (l *library) forget(list []image) {
	for _, img := range list {
		l.ids.Remove(mark(img.src))
	}
}

// pictures are those of an answer. Plugins write some that are no list.
func (a *answer) pictures() (list []picture) {
	var one picture
	if json.Unmarshal(a.Image, &one) == nil && one.ID > 0 {
		return []picture{one}
	}
	_ = json.Unmarshal(a.Images, &list)
	return list
}

// loads are the marks of the pictures that the shop would have to load for t.
func (p *push) loads(t *task) (marks []string) {
	for i, img := range t.doc.images {
		if i > 0 && t.have.isVariation() {
			break // it has one
		}
		if p.idOf(t, img) == 0 {
			marks = append(marks, mark(img.src))
		}
	}
	return marks
}

// idOf is the shop's id of a picture that it has loaded before; 0 is none.
func (p *push) idOf(t *task, img image) int64 {
	m := mark(img.src)
	for _, have := range t.have.Images {
		if have.ID > 0 && strings.HasSuffix(have.Name, m) {
			return have.ID
		}
	}
	id, _ := p.library.ids.Get(m)
	return id
}

// pictures writes the rows that are given, and what tasks show: one that the shop
// has to load is sent by one of them only, and the others name what came of it.
func (p *push) pictures(tasks []*task, products []*row, variations map[int64][]*row) error {
	var marks []string
	for _, t := range tasks {
		marks = append(marks, p.loads(t)...)
	}
	unlock, err := p.library.loading.Lock(p.ctx, marks...)
	if err != nil {
		return err
	}
	defer unlock()
	for wave := 0; ; wave++ {
		var later []*task
		loading := map[string]bool{}
		for _, variation := range []bool{false, true} { // variations show their parents' as a rule
			for _, t := range tasks {
				if t.have.isVariation() != variation {
					continue
				}
				wait, marks := false, p.loads(t)
				for _, m := range marks {
					wait = wait || loading[m]
				}
				// What two of them failed to load is left to each.
				if wait && wave < 2 {
					later = append(later, t)
					continue
				}
				for _, m := range marks {
					loading[m] = true
				}
				r := &row{task: t, id: t.have.ID, body: p.media(t)}
				if variation {
					variations[t.have.ParentID] = append(variations[t.have.ParentID], r)
				} else {
					products = append(products, r)
				}
			}
		}
		if err := p.writeAll(products, variations); err != nil || p.stop != nil || len(later) == 0 {
			return err
		}
		tasks, products, variations = later, nil, map[int64][]*row{}
	}
}

// media is the body of the pictures. Those that the shop has loaded before are
// named by their ids, so that it does not load them into its library again.
func (p *push) media(t *task) map[string]any {
	images := make([]map[string]any, len(t.doc.images))
	for i, img := range t.doc.images {
		if id := p.idOf(t, img); id > 0 {
			images[i] = map[string]any{"id": id}
		} else {
			images[i] = map[string]any{"src": img.src, "name": nameOf(img.src)}
		}
		if img.alt != "" {
			images[i]["alt"] = img.alt
		}
	}
	if !t.have.isVariation() {
		return map[string]any{"images": images}
	}
	if len(images) == 0 {
		return map[string]any{"image": map[string]any{}}
	}
	if len(images) > 1 {
		t.result.Issues = append(t.result.Issues, pim.Issue{
			Code: "woocommerce.variation_images", Severity: pim.SeverityWarning, Attribute: "images",
			Text: fmt.Sprintf("A variation has one picture in WooCommerce; the first of %d is shown.", len(images)),
		})
	}
	return map[string]any{"image": images[0]}
}
