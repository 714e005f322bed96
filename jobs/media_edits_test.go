package jobs_test

import (
	"testing"

	"github.com/sluicehub/sluice/pim"
	"github.com/sluicehub/sluice/pim/media"
)

// Ten thousand edits of products that show one image, of their texts, of the
// image itself and of what is said of it, upload it once to each channel that
// shows it, and to no other.
func TestTenThousandEditsOfOneImage(t *testing.T) {
	t.Parallel()
	const rounds = 20
	r := newRoad(t)
	walls := map[string]*gallery{"hall": {}, "stairs": {}, "attic": {}, "cellar": {}}
	r.withGalleries(walls, 500)
	r.defines("small", media.Definition{Width: 8, Height: 8})
	r.defines("tiny", media.Definition{Width: 4, Height: 4})
	r.hang("hall", "hall", "small")
	r.hang("stairs", "stairs", "small") // another target wants the same file
	r.hang("attic", "attic", "tiny")
	r.hang("cellar", "cellar")
	all := []pim.ChannelCode{"hall", "stairs", "attic", "cellar"}
	list := skus(500)
	r.asset("logo", picture(1))
	defer r.work()()
	edits := 0
	for i := range rounds {
		values := title("edit %d", i)
		switch {
		case i == 0 || i == rounds-1 || i%4 == 2:
			values["picture"] = []any{"logo"}
		case i%4 == 0: // taken away, and put back two rounds later
			values["picture"] = []any{}
		}
		for _, res := range r.put(list, values) {
			if res.Rev != int64(i+1) {
				t.Fatalf("%s has revision %d after edit %d", res.SKU, res.Rev, i+1)
			}
			edits++
		}
		if created, changed := r.asset("logo", picture(1)); created || changed {
			t.Fatal("the same file again changed something")
		}
	}
	if edits != 10_000 {
		t.Fatalf("%d edits", edits)
	}
	r.rested(all...)
	for wall, want := range map[string]int{"hall": 1, "stairs": 1, "attic": 1, "cellar": 0} {
		g := walls[wall]
		if uploads, _ := g.counts(""); uploads != want {
			t.Errorf("%s was given %d files, want %d", wall, uploads, want)
		}
		shows := `{"media":["https://cdn.example/1"]}`
		if want == 0 {
			shows = `{"media":"none"}`
		}
		for _, sku := range list {
			if got := g.shows(sku); got != shows {
				t.Fatalf("%s shows %s of %s, want %s", wall, got, sku, shows)
			}
		}
	}
	if n := r.count(`select sum(done) from lot where kind = 'render'`); n != 2 {
		t.Errorf("%d renditions were made, want one by each definition", n)
	}
	if n := r.count(`select count(*) from upload`); n != 3 {
		t.Errorf("%d uploads are noted, want 3", n)
	}
	// Texts alone are no media: nothing is sent, let alone given, again.
	before := make(map[string]int)
	for wall, g := range walls {
		_, before[wall] = g.counts(list[7])
	}
	r.put(list, title("the last edit"))
	r.rested(all...)
	for wall, g := range walls {
		if _, pushes := g.counts(list[7]); pushes != before[wall] {
			t.Errorf("%s was sent %d media documents for a title", wall, pushes-before[wall])
		}
	}
}

// A rendition that changes is sent to the channels that show it. One that shows
// another of the same image, or none, gets no push, and none of a new image's
// when it shows no pictures.
func TestOtherRenditionsAreNotPushed(t *testing.T) {
	t.Parallel()
	r := newRoad(t)
	walls := map[string]*gallery{"hall": {}, "attic": {}, "cellar": {}}
	r.withGalleries(walls, 10)
	r.defines("small", media.Definition{Width: 8, Height: 8})
	r.defines("tiny", media.Definition{Width: 4, Height: 4})
	r.hang("hall", "hall", "small")
	r.hang("attic", "attic", "tiny")
	r.hang("cellar", "cellar")
	all := []pim.ChannelCode{"hall", "attic", "cellar"}
	r.asset("logo", picture(1))
	r.put([]pim.SKU{"A"}, showing("logo"))
	defer r.work()()
	pushed := func(when string, hall, attic, cellar int) {
		t.Helper()
		r.until(func() bool { _, n := walls["hall"].counts("A"); return n >= hall })
		r.rested(all...)
		for wall, want := range map[string]int{"hall": hall, "attic": attic, "cellar": cellar} {
			if _, got := walls[wall].counts("A"); got != want {
				t.Errorf("%s: %d media documents were sent to %s, want %d", when, got, wall, want)
			}
		}
	}
	pushed("at first", 1, 1, 1)
	r.defines("small", media.Definition{Width: 6, Height: 6})
	pushed("after a definition's change", 2, 1, 1)
	r.asset("logo", picture(2))
	pushed("after the image's change", 3, 2, 1)
}
