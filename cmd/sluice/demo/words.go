//go:build unix

package demo

// The demo's words. All of it is ours: the names are invented, and texts are
// put together from whole sentences, so that no ending has to agree with
// another word across languages.

// tongue is a text in the demo's three languages: English, German, Dutch.
type tongue [3]string

// locales in the order of a tongue.
var locales = [3]string{"en-GB", "de-DE", "nl-NL"}

// thing is a kind of article.
type thing struct {
	name     tongue // "dining table"
	article  tongue // of the name at a sentence's start: "The", "Der", "De"
	category string
	low      int // price range in whole euros
	high     int
}

var syllables = [3][]string{
	{"Var", "Lum", "Tol", "Bre", "Kas", "Nor", "Fen", "Mir", "Sol", "Hal", "Dru", "Wen", "Ost", "Pel", "Ril", "Gan"},
	{"na", "e", "i", "o", "va", "li", "ra", "du"},
	{"holt", "mar", "vik", "den", "lo", "ra", "sen", "tis", "by", "ne"},
}

var brands = []string{"Aldermoor", "Brunnhave", "Callisterre", "Dovrindal", "Eskelund", "Fennwick-Orr", "Grimmelau", "Hollowmere", "Istervaal", "Jorrinde", "Kestrelby", "Lindquarz"}

type coloured struct {
	code string
	name tongue
}

var colours = []coloured{
	{"white", tongue{"white", "Weiß", "wit"}},
	{"black", tongue{"black", "Schwarz", "zwart"}},
	{"grey", tongue{"grey", "Grau", "grijs"}},
	{"navy", tongue{"navy", "Marineblau", "marineblauw"}},
	{"green", tongue{"green", "Grün", "groen"}},
	{"red", tongue{"red", "Rot", "rood"}},
	{"sand", tongue{"sand", "Sand", "zand"}},
	{"copper", tongue{"copper", "Kupfer", "koper"}},
}

var materials = []coloured{
	{"oak", tongue{"oak", "Eiche", "eiken"}},
	{"beech", tongue{"beech", "Buche", "beuken"}},
	{"steel", tongue{"steel", "Stahl", "staal"}},
	{"glass", tongue{"glass", "Glas", "glas"}},
	{"stoneware", tongue{"stoneware", "Steinzeug", "steengoed"}},
	{"cotton", tongue{"cotton", "Baumwolle", "katoen"}},
	{"wool", tongue{"wool", "Wolle", "wol"}},
	{"linen", tongue{"linen", "Leinen", "linnen"}},
	{"aluminium", tongue{"aluminium", "Aluminium", "aluminium"}},
}

var sizes = []string{"XS", "S", "M", "L", "XL", "XXL"}

var cares = []coloured{
	{"wash-30", tongue{"wash at 30 °C", "Waschen bei 30 °C", "wassen op 30 °C"}},
	{"no-bleach", tongue{"do not bleach", "nicht bleichen", "niet bleken"}},
	{"iron-low", tongue{"iron at low heat", "bei niedriger Temperatur bügeln", "strijken op lage stand"}},
	{"no-dryer", tongue{"do not tumble dry", "nicht in den Trockner", "niet in de droger"}},
}

// assortment is what the demo sells in one family.
type assortment struct {
	family    string
	label     tongue
	things    []thing
	materials []int // indexes into materials
	opening   []tongue
	middle    []tongue
	closing   []tongue
}

// In the opening sentences {The}, {thing} and {series} stand for the article, the name and the series.
var (
	furniture = assortment{
		family: "furniture", label: tongue{"Furniture", "Möbel", "Meubels"}, materials: []int{0, 1, 2, 3},
		things: []thing{
			{tongue{"dining table", "Esstisch", "eettafel"}, tongue{"The", "Der", "De"}, "dining-room", 249, 899},
			{tongue{"bookcase", "Bücherregal", "boekenkast"}, tongue{"The", "Das", "De"}, "living-room", 89, 449},
			{tongue{"desk", "Schreibtisch", "bureau"}, tongue{"The", "Der", "Het"}, "study", 119, 599},
			{tongue{"bench", "Sitzbank", "zitbank"}, tongue{"The", "Die", "De"}, "hall", 79, 329},
			{tongue{"bedside table", "Nachttisch", "nachtkastje"}, tongue{"The", "Der", "Het"}, "bedroom", 49, 189},
			{tongue{"sideboard", "Sideboard", "dressoir"}, tongue{"The", "Das", "Het"}, "living-room", 199, 799},
		},
		opening: []tongue{
			{"{The} {series} {thing} brings calm lines into any room.", "{The} {thing} {series} bringt ruhige Linien in jeden Raum.", "{The} {thing} {series} brengt rustige lijnen in elke kamer."},
			{"{The} {series} {thing} is made to be used every day.", "{The} {thing} {series} ist für jeden Tag gemacht.", "{The} {thing} {series} is gemaakt voor elke dag."},
			{"{The} {series} {thing} finds its place in small homes too.", "{The} {thing} {series} findet auch in kleinen Wohnungen Platz.", "{The} {thing} {series} past ook in een klein huis."},
		},
		middle: []tongue{
			{"Rounded edges are kind to elbows and children.", "Abgerundete Kanten schonen Ellbogen und Kinder.", "Afgeronde randen zijn vriendelijk voor ellebogen en kinderen."},
			{"The surface is oiled and can be renewed with a cloth.", "Die Oberfläche ist geölt und lässt sich mit einem Tuch auffrischen.", "Het oppervlak is geolied en is met een doek op te frissen."},
			{"Adjustable feet even out an old floor.", "Verstellbare Füße gleichen einen alten Boden aus.", "Verstelbare poten maken een oude vloer vlak."},
		},
		closing: []tongue{
			{"Two people put it together in half an hour.", "Zu zweit ist der Aufbau in einer halben Stunde erledigt.", "Met zijn tweeën staat het in een half uur."},
			{"All screws and the right key are in the box.", "Alle Schrauben und der passende Schlüssel liegen bei.", "Alle schroeven en de juiste sleutel zitten in de doos."},
			{"Spare parts can be ordered for ten years.", "Ersatzteile sind zehn Jahre lang erhältlich.", "Onderdelen zijn tien jaar lang te bestellen."},
		},
	}
	kitchen = assortment{
		family: "kitchen", label: tongue{"Kitchen", "Küche", "Keuken"}, materials: []int{2, 3, 4, 8},
		things: []thing{
			{tongue{"stockpot", "Suppentopf", "soeppan"}, tongue{"The", "Der", "De"}, "cooking", 29, 119},
			{tongue{"mixing bowl", "Rührschüssel", "mengkom"}, tongue{"The", "Die", "De"}, "baking", 12, 49},
			{tongue{"teapot", "Teekanne", "theepot"}, tongue{"The", "Die", "De"}, "tea-and-coffee", 19, 79},
			{tongue{"carafe", "Karaffe", "karaf"}, tongue{"The", "Die", "De"}, "table", 15, 59},
			{tongue{"storage jar", "Vorratsglas", "voorraadpot"}, tongue{"The", "Das", "De"}, "storage", 6, 29},
			{tongue{"baking dish", "Auflaufform", "ovenschaal"}, tongue{"The", "Die", "De"}, "baking", 18, 69},
		},
		opening: []tongue{
			{"{The} {series} {thing} earns its place on the stove and on the table.", "{The} {thing} {series} macht auf dem Herd und auf dem Tisch eine gute Figur.", "{The} {thing} {series} staat goed op het fornuis en op tafel."},
			{"{The} {series} {thing} is for people who cook often.", "{The} {thing} {series} ist für alle, die oft kochen.", "{The} {thing} {series} is voor wie vaak kookt."},
			{"{The} {series} {thing} does one thing, and does it well.", "{The} {thing} {series} kann eine Sache, und die gut.", "{The} {thing} {series} kan één ding, en dat goed."},
		},
		middle: []tongue{
			{"It pours without dripping.", "Beim Ausgießen tropft nichts.", "Bij het schenken druppelt er niets."},
			{"The rim is wide enough to hold with gloves.", "Der Rand lässt sich auch mit Handschuhen greifen.", "De rand is ook met ovenwanten goed vast te pakken."},
			{"A scale inside shows the measure.", "Eine Skala auf der Innenseite zeigt die Menge.", "Een schaal aan de binnenkant wijst de maat."},
		},
		closing: []tongue{
			{"It stacks with the other sizes of the series.", "Mit den anderen Größen der Serie lässt es sich stapeln.", "Het is te stapelen met de andere maten van de serie."},
			{"It is packed without plastic.", "Die Verpackung kommt ohne Kunststoff aus.", "De verpakking bevat geen plastic."},
			{"The lid is sold separately.", "Der Deckel ist einzeln erhältlich.", "Het deksel is los te koop."},
		},
	}
	electronics = assortment{
		family: "electronics", label: tongue{"Electronics", "Elektronik", "Elektronica"}, materials: []int{2, 3, 8},
		things: []thing{
			{tongue{"desk lamp", "Schreibtischlampe", "bureaulamp"}, tongue{"The", "Die", "De"}, "lighting", 29, 149},
			{tongue{"radio", "Radio", "radio"}, tongue{"The", "Das", "De"}, "audio", 39, 199},
			{tongue{"kettle", "Wasserkocher", "waterkoker"}, tongue{"The", "Der", "De"}, "tea-and-coffee", 29, 99},
			{tongue{"fan", "Ventilator", "ventilator"}, tongue{"The", "Der", "De"}, "climate", 35, 159},
			{tongue{"alarm clock", "Wecker", "wekker"}, tongue{"The", "Der", "De"}, "bedroom", 15, 69},
			{tongue{"loudspeaker", "Lautsprecher", "luidspreker"}, tongue{"The", "Der", "De"}, "audio", 49, 349},
		},
		opening: []tongue{
			{"{The} {series} {thing} works as soon as it is plugged in.", "{The} {thing} {series} funktioniert, sobald der Stecker steckt.", "{The} {thing} {series} werkt zodra de stekker erin zit."},
			{"{The} {series} {thing} has one knob and no account.", "{The} {thing} {series} hat einen Knopf und braucht kein Konto.", "{The} {thing} {series} heeft één knop en vraagt geen account."},
			{"{The} {series} {thing} can be opened and repaired.", "{The} {thing} {series} lässt sich öffnen und reparieren.", "{The} {thing} {series} is te openen en te repareren."},
		},
		middle: []tongue{
			{"The cable is two metres long.", "Das Kabel ist zwei Meter lang.", "Het snoer is twee meter lang."},
			{"It stays quiet, also at night.", "Auch nachts bleibt alles leise.", "Ook 's nachts blijft het stil."},
			{"In standby it draws less than half a watt.", "Im Ruhezustand fließt weniger als ein halbes Watt.", "In rust verbruikt het minder dan een halve watt."},
		},
		closing: []tongue{
			{"The manual has four pages and all one needs.", "Die Anleitung hat vier Seiten, und alles steht darin.", "De handleiding telt vier bladzijden, en alles staat erin."},
			{"Old devices are taken back.", "Altgeräte werden zurückgenommen.", "Oude apparaten worden teruggenomen."},
			{"It is tested before it leaves the house.", "Vor dem Versand wird jedes Stück geprüft.", "Voor verzending wordt elk stuk getest."},
		},
	}
	apparel = assortment{
		family: "apparel", label: tongue{"Apparel", "Bekleidung", "Kleding"}, materials: []int{5, 6, 7},
		things: []thing{
			{tongue{"T-shirt", "T-Shirt", "T-shirt"}, tongue{"The", "Das", "Het"}, "tops", 15, 45},
			{tongue{"jumper", "Pullover", "trui"}, tongue{"The", "Der", "De"}, "knitwear", 39, 129},
			{tongue{"shirt", "Hemd", "overhemd"}, tongue{"The", "Das", "Het"}, "tops", 29, 89},
			{tongue{"jacket", "Jacke", "jas"}, tongue{"The", "Die", "De"}, "outerwear", 69, 249},
			{tongue{"skirt", "Rock", "rok"}, tongue{"The", "Der", "De"}, "bottoms", 29, 99},
			{tongue{"trousers", "Hose", "broek"}, tongue{"The", "Die", "De"}, "bottoms", 39, 119},
		},
		opening: []tongue{
			{"{series}: something to reach for on most mornings.", "{series}: ein Griff in den Schrank, der fast jeden Morgen passt.", "{series}: iets om bijna elke ochtend naar te grijpen."},
			{"{series} is cut wide enough to move in.", "{series} ist so geschnitten, dass man sich bewegen kann.", "{series} is zo gesneden dat je je kunt bewegen."},
			{"{series} keeps its shape after many washes.", "{series} behält auch nach vielen Wäschen die Form.", "{series} houdt ook na veel wasbeurten de vorm."},
		},
		middle: []tongue{
			{"The seams lie flat and do not rub.", "Die Nähte liegen flach und scheuern nicht.", "De naden liggen plat en schuren niet."},
			{"The yarn is dyed before it is knitted or woven.", "Das Garn wird vor dem Stricken oder Weben gefärbt.", "Het garen wordt vóór het breien of weven geverfd."},
			{"The pockets are deep enough for a hand.", "Die Taschen sind tief genug für eine Hand.", "De zakken zijn diep genoeg voor een hand."},
		},
		closing: []tongue{
			{"A spare button is sewn inside.", "Ein Ersatzknopf ist innen angenäht.", "Aan de binnenkant zit een reserveknoop."},
			{"It runs true to size.", "Die Größen fallen normal aus.", "De maten vallen normaal uit."},
			{"It pairs well with the rest of the series.", "Mit dem Rest der Serie lässt es sich gut verbinden.", "Het past goed bij de rest van de serie."},
		},
	}
)

var ranges = []*assortment{&furniture, &kitchen, &electronics, &apparel}
