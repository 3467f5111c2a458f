package sample

import (
	"strings"
	"unicode/utf8"
)

// phrase is a text as it stands between the quotes of a CSV field, with the
// number of characters that it means.
type phrase struct {
	csv    string
	length int
}

// vocabulary is what texts are put together from.
type vocabulary struct {
	adjectives, nouns, categories    []string
	sloganHeads, sloganTails         []string
	openers, subjects, closers       []phrase
	colours, lists, quotedColours    []string
	featureNames                     []string
	featureValues                    [][]string // beside featureNames
	letterSizes, shoeSizes           []string
	waistSizes, oneSizes, childSizes []string
}

func newVocabulary() *vocabulary {
	return &vocabulary{
		adjectives: escaped(`Camo|Bright|Morning|Slacker's|Infinite|Summer|Pumped Up|Blue Suede|Stretchy|Vintage|Alpine|Urban|Café|Crème|Señorita|Über|Nordic Fjäll|Désinvolte|Łódź|東京|Midnight|Featherlight|Rugged|Everyday|Weekend|Off-Duty|Low-Rise|High-Top|Reversible|Waxed|Brushed|Quilted|Ribbed|Pleated|Cropped|Oversized|Relaxed|Tailored|Hooded|Packable|"Lucky"|Salt & Pepper|Hand-Stitched|Sun-Faded, Soft|Retro|Storm|Coastal|Prairie|Velvet|Corduroy`),
		nouns:      escaped(`Onesie|Sunglasses|Joggers|Slacks|Sneakers|Kicks|Loafers|Hoodie|Parka|Cardigan|T-Shirt|Polo|Jeans|Chinos|Shorts|Skirt|Dress|Blazer|Raincoat|Windbreaker|Vest|Scarf|Beanie|Cap|Gloves|Belt|Backpack|Tote|Wallet|Watch|Boots|Sandals|Slippers|Socks|Leggings|Tank Top|Henley|Overshirt|Peacoat|Trench|Pyjamas|Swim Trunks|Bikini|Bandana|Tie|Cufflinks|Duffel 20" Bag|Umbrella|Poncho|Kimono`),
		categories: escaped(`Jackets|Accessories|Pants|Kicks|Dress Shoes|Shirts|Dresses|Swimwear|Bags|Hats, Caps & Beanies|Café Wear|Socks|Underwear|Outdoor|Kids`),

		sloganHeads: escaped(`Blend in to your crowd|Make yourself a morning person|Comfortable for everything, or nothing|A classic dynasty|Faster than just about anything|Just jumped over the moon|A risky call in the spring|You've got to wear shades|Made to be worn out|Simply the "best"|Für jeden Tag|Toujours à la mode|Quietly loud|Warm hands, cold heart|Dress like nobody is watching|Nothing to iron|Born in the rain|Softer than yesterday|Big pockets, small price|One for the road`),
		sloganTails: escaped(`| or fall|, every day| – since 1987| and then some|, without the fuss| (limited edition)|, 24/7| for less|™| at last|, again|: see for yourself| and a bit more| on a budget|!`),

		openers:  phrases(`Touch down in|Cut from|Where you're going you might need|These days everyone looks good in|Nothing beats|We started with|Give your old favourites a rest and try|It takes a while to make|Constructed with care from|Say "hello" to|Our designers, all three of them, fell for|Designed in Malmö around|Think of it as|You asked for|On cold mornings there is|The whole thing is built on|Years of mistakes went into|No compromise: only|Machine washable, and still|Locals call it|Meet|Short on time, long on|Inspired by a trip through the Pyrénées and|Rain or shine, count on`),
		subjects: phrases(` crisp court style with a modern look| a supple leather upper and a classic rubber sole| low-top panelled buffed leather and mesh| the softest organic cotton we could find| a water-repellent shell with taped seams| stretchy knit that moves with you| an asymmetrical lacing system| merino wool from New Zealand| recycled ripstop nylon| timeless lenses in a light frame| 14 oz selvedge denim from 岡山| a relaxed fit with a tapered leg| double-stitched seams and brass hardware| a brushed fleece lining| a 5" brim that keeps its shape| piqué cotton with mother-of-pearl buttons| reinforced elbows and deep pockets| a two-way zip, a storm flap and a hood| hand-dyed linen| jacquard made on looms from 1920| bold colours and quiet details| a pinch of cashmere| breathable mesh at the back| tonal stitching throughout`),
		closers:  phrases(`.|, ready for anything.| for the long way home.|, because details matter.| – made to last.|. Everyone will ask where you got it.|, at home in the office and on the trail.|; your knees will thank you.|. Wear it in, wear it out.| without breaking the bank.|, guaranteed for 5 years.|. Fits true to size.| (the fine print is fine, too).|, and the fit is "just right" every time.|. It's a wardrobe staple!| with room to breathe.|, dusk till dawn.|. Hand wash only, naïve as it sounds.|, whatever the season.| and a touch of nostalgia.|. Yes, really.`),

		colours:       escaped(`Black|White|Grey|Forest Green|Desert Brown|Ocean Blue|Digital Red|Sky Blue|Dark Grey|Goldenrod|Maroon|Chartreuse|Olive Green|Tan|Khaki|Plaid|Pinstripe|Turquoise|Butter|Pink|Zebra Stripe|Écru|Rosé|Bleu Marine|Grün|Café au Lait|Crème|Oxblood|Teal|Navy|Charcoal|Mustard|Lavender|Coral|Sand|Cobalt|Emerald|Ivory|Rust|Slate`),
		lists:         escaped(`Black,White|Navy,Cream|Red,White,Blue|Rust,Sand|Olive,Khaki`),
		quotedColours: escaped(`Matte "Onyx" Black|The "Cool" Grey|Deep "Tokyo" Blue`),

		featureNames: escaped(`Fabric|Buttons|Lenses|UV Protection|Frames|Cut|Sole|Material|Mid-Sole|Stitching|5 Year Warranty|Satisfaction Guaranteed|Non-GMO|Inseam|Lining|Care, Washing|Origin`),
		featureValues: [][]string{
			escaped(`Canvas|100% Cotton|99% Cotton 1% Elastic|Merino Wool|Linen|Silk|Cashmere, Wool|Denim`),
			escaped(`Brass|Horn|Mother of Pearl|Snap|Hidden`),
			escaped(`Ultrasheen|Polarised|Mirrored|Clear`),
			escaped(`UV400|100%|Category 3`),
			escaped(`LightCompose|DuraResin|Titanium|Acétate`),
			escaped(`Skinny|Loose|Straight|Tapered|A-Line`),
			escaped(`Rubber|Leather|Crêpe|Gum|Cork`),
			escaped(`FullControlSkin|Full-Grain Leather|Mesh|Recycled Nylon`),
			escaped(`ControlSupport Arch Bridge|EVA Foam|Cork, Latex`),
			escaped(`Double Stitch|Single Stitch|Flatlock`),
			nil, nil, nil,
			escaped(`30" Regular|32" Regular|34" Long`),
			escaped(`Fleece|Satin|Unlined|Mesh`),
			escaped(`Cold, gentle cycle|Dry clean|Hand wash`),
			escaped(`Portugal|Italia|Việt Nam|España|日本|USA`),
		},

		letterSizes: escaped(`XS|S|M|L|XL|XXL|3XL|4XL`),
		shoeSizes:   escaped(`6|6.5|7|7.5|8|8.5|9|9.5|10|10.5|11|11.5|12|13|14|15`),
		waistSizes:  escaped(`28|29|30|W30,L32|31|32|W32,L32|W32,L34|33|34|W34,L34|36|W36,L36|38|W38,L36|40`),
		oneSizes:    escaped(`One Size|OS|One Size|Adjustable|S/M|Einheitsgröße|L`),
		childSizes:  escaped(`2T|3T|4T|5|6|6X|7/8|10/12|14|Youth S|Youth M|Youth L|12" Doll`),
	}
}

// escaped splits a list at its bars and doubles the quotes.
func escaped(list string) []string {
	return strings.Split(strings.ReplaceAll(list, `"`, `""`), "|")
}

func phrases(list string) []phrase {
	var all []phrase
	for _, text := range strings.Split(list, "|") {
		all = append(all, phrase{strings.ReplaceAll(text, `"`, `""`), utf8.RuneCountInString(text)})
	}
	return all
}
