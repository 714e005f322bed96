package media

// Presets are the names that Preset knows, sorted.
func Presets() []string { return []string{"amazon", "bol", "google", "shopify"} }

// Preset is a definition that keeps what a target publishes about a product's main
// image; what no machine can see (props, texts, how much of the frame the product
// fills) is not in it. Users copy it and change what they want.
func Preset(name string) (Definition, bool) {
	const mb = 1_000_000
	switch name {
	case "bol":
		// partnerplatform.bol.com, "These rules apply to your images" (2026): 30 KB to
		// 10 MB; 500×500 to 6000×6000 pixels, where white space does not count; zoom
		// from 1200×1200; a white background. Addresses end in .jpg, .jpeg or .png
		// (leveranciers.bol.com, "Adding multiple images at once").
		return Definition{
			Width: 1200, Height: 1200, Fit: Pad, Format: JPEG, Quality: 90, MaxBytes: 10 * mb,
			Require: Requirement{
				MinWidth: 500, MinHeight: 500, MinLongSide: 500, MaxWidth: 6000, MaxHeight: 6000,
				WhiteBorder: 0.95, NoAlpha: true, MinBytes: 30_000, MaxBytes: 10 * mb,
			},
		}, true
	case "amazon":
		// sellercentral.amazon.com, help page G9FUUH87RBNXGKB7, "Technical image file
		// requirements": JPEG preferred, RGB; 1,000 pixels or more on the longest side,
		// at most 10,000. A pure white background (255, 255, 255) for main images is in
		// the product image guide of the same help. 1,600 pixels are what zoom is best
		// with, as sellers' guides quote it.
		return Definition{
			Width: 1600, Height: 1600, Fit: Pad, Format: JPEG, Quality: 90, MaxBytes: 10 * mb,
			Require: Requirement{MinLongSide: 1000, MaxWidth: 10_000, MaxHeight: 10_000, WhiteBorder: 0.99, NoAlpha: true},
		}, true
	case "google":
		// support.google.com/merchants/answer/6324350 (image_link) and what is quoted
		// from it: at least 100×100 pixels, 250×250 for apparel; at most 64 megapixels
		// and 16 MB; no picture made larger than it was. From 31 January 2027 all need
		// 500×500 (announced in 2026): raise min_width and min_height then, or now. A
		// white or transparent background is a recommendation and so not required.
		return Definition{
			Width: 1500, Height: 1500, Fit: Contain, Format: JPEG, Quality: 90, MaxBytes: 16 * mb,
			Require: Requirement{MinWidth: 100, MinHeight: 100, MaxPixels: 64 * mb, MaxBytes: 16 * mb},
		}, true
	case "shopify":
		// help.shopify.com, product media types, as quoted by sellers' guides of 2026: at
		// most 5000×5000 pixels or 25 megapixels and 20 MB; 2048×2048 looks best.
		return Definition{
			Width: 2048, Height: 2048, Fit: Contain, Format: JPEG, Quality: 90, MaxBytes: 20 * mb,
			Require: Requirement{MaxWidth: 5000, MaxHeight: 5000, MaxPixels: 25 * mb, MaxBytes: 20 * mb},
		}, true
	}
	return Definition{}, false
}
