package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"testing"

	"github.com/sluicehub/sluice/pim"
)

// Two levels of variants: made, shown with where each value comes from, and
// refused where a value has no place.
func TestTwoLevelsOfVariants(t *testing.T) {
	t.Parallel()
	k := newKit(t).seed()
	k.want(k.do(Admin, http.MethodPut, "/v1/families/boot", `{"code": "boot", "attributes": [{"code": "name"}, {"code": "gtin"}, {"code": "count"}, {"code": "color"}, {"code": "spare"}],
		"variants": [{"code": "two", "labels": {"en-GB": "By colour and size"}, "levels": [{"axes": ["color"], "attributes": ["spare"]}, {"axes": ["count"], "attributes": ["gtin"]}]}]}`), http.StatusCreated, nil)
	k.refused(k.do(Admin, http.MethodPut, "/v1/families/boot2", `{"attributes": [{"code": "name"}, {"code": "color"}, {"code": "count"}], "variants": [{"code": "v", "axes": ["color"], "levels": [{"axes": ["count"]}]}]}`),
		http.StatusUnprocessableEntity, "/variants/0/axes", "family_variant.axes")
	var f pim.Family
	k.want(k.do(Admin, http.MethodGet, "/v1/families/boot", nil), http.StatusOK, &f)
	if v := f.Variant("two"); v == nil || v.Depth() != 2 || len(v.Axes) != 0 || v.Labels["en-GB"] == "" {
		t.Errorf("%+v", f.Variants)
	}
	put := func(sku, body string) reply { return k.do(Editor, http.MethodPut, "/v1/products/"+sku, body) }
	k.want(put("B", `{"family": "boot", "family_variant": "two", "values": {"name": {"en-GB": "Boot", "de-DE": "Stiefel"}}}`), http.StatusCreated, nil)
	k.refused(put("B", `{"family": "boot", "family_variant": "two", "values": {"gtin": "4006381333931"}}`), http.StatusUnprocessableEntity, "/values/gtin", "value.level")
	k.want(put("B-red", `{"family": "boot", "parent": "B", "values": {"color": "red", "spare": "x"}}`), http.StatusCreated, nil)
	k.want(put("B-blue", `{"family": "boot", "parent": "B", "values": {"color": "blue"}}`), http.StatusCreated, nil)
	k.want(put("B-red-1", `{"family": "boot", "parent": "B-red", "values": {"count": 1, "name": {"en-GB": "My boot"}}}`), http.StatusCreated, nil)
	k.refused(put("B-red-2", `{"family": "boot", "parent": "B-red", "values": {"count": 2, "color": "blue"}}`), http.StatusUnprocessableEntity, "/values/color", "axis.level")
	if r := k.do(Editor, http.MethodDelete, "/v1/products/B-red", nil); r.StatusCode != http.StatusConflict {
		t.Errorf("a sub-model with variants: %d %s", r.StatusCode, r.body)
	}
	p := k.product("B-red-1")
	want := origins{"values.color": "B-red", "values.spare": "B-red", "values.name.de-DE": "B"}
	if p.Parent != "B-red" || p.Root != "B" || p.FamilyVariant != "" || !maps.Equal(p.InheritedFrom, want) {
		t.Errorf("%+v", p)
	}
	var inherited map[string]any
	if err := json.Unmarshal(p.InheritedValues, &inherited); err != nil || inherited["color"] != "red" || inherited["spare"] != "x" || len(inherited) != 3 ||
		!reflect.DeepEqual(inherited["name"], map[string]any{"de-DE": "Stiefel", "en-GB": "Boot"}) {
		t.Errorf("inherited: %s, %v", p.InheritedValues, err)
	}
	k.want(k.do(Editor, http.MethodPatch, "/v1/products/B-red-1", `{"parent": "B-blue"}`), http.StatusOK, nil)
	if p := k.product("B-red-1"); p.Parent != "B-blue" || p.InheritedFrom["values.color"] != "B-blue" {
		t.Errorf("moved: %+v", p)
	}
	var list page[*Product]
	k.want(k.do(Editor, http.MethodGet, "/v1/products?parent=B", nil), http.StatusOK, &list)
	if len(list.Items) != 3 {
		t.Errorf("%d products below the root model", len(list.Items))
	}
}
