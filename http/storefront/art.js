// Pictures. Each is drawn first, in a look that follows from its style alone,
// and the photo is laid over it once it has come. Where none comes, the drawing
// stays.
import { el, svg } from "./dom.js";

// Hosts that have given nothing but errors are not asked for ever.
const refused = new Map();
const patience = 3;

// picture shows photo n of a style, at one of its two addresses ("url" or
// "thumbnail"). Without a style it is drawn from the product. An empty alt says
// that the text beside it is enough.
export function picture(product, style, n, address, alt) {
  const drawing = draw(product, style, n);
  if (alt) {
    drawing.setAttribute("role", "img");
    drawing.setAttribute("aria-label", alt);
  } else {
    drawing.setAttribute("aria-hidden", "true");
  }
  const box = el("span", { class: "picture" }, drawing);
  const source = style?.photos[n]?.[address];
  if (!source) return box;
  const { host } = new URL(source);
  if ((refused.get(host) ?? 0) >= patience) return box;
  const photo = el("img", { alt, decoding: "async", referrerpolicy: "no-referrer" });
  photo.addEventListener("load", () => {
    refused.set(host, -Infinity);
    drawing.remove();
    photo.classList.add("come");
  });
  photo.addEventListener("error", () => {
    refused.set(host, (refused.get(host) ?? 0) + 1);
    photo.remove();
  });
  if (address === "thumbnail") photo.loading = "lazy";
  photo.src = source;
  box.append(photo);
  return box;
}

// colourOf is the main colour of a style.
export function colourOf(style) {
  return css(palette(style.name, `style ${style.id}`)[0]);
}

// hash is FNV-1a with a last mix, so that neighbouring ids look different.
function hash(text) {
  let h = 0x811c9dc5;
  for (const ch of text) h = Math.imul(h ^ ch.codePointAt(0), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}

// Colours by the words that name them, as hue, saturation, lightness.
const words = {
  black: [30, 4, 17], onyx: [30, 4, 17], charcoal: [215, 8, 30], slate: [210, 14, 42], grey: [215, 6, 58], gray: [215, 6, 58],
  white: [40, 24, 93], ivory: [48, 46, 89], cream: [44, 56, 87], crème: [44, 56, 87], écru: [42, 36, 82], butter: [48, 78, 77], sand: [38, 36, 71],
  brown: [26, 42, 32], tan: [32, 40, 60], khaki: [48, 26, 54], "café au lait": [28, 30, 58], rust: [16, 64, 42],
  red: [358, 66, 46], maroon: [350, 52, 28], oxblood: [352, 56, 25], coral: [10, 80, 66], pink: [342, 62, 78], rosé: [350, 52, 80],
  orange: [24, 84, 54], gold: [43, 70, 50], goldenrod: [43, 74, 49], mustard: [44, 66, 46], yellow: [50, 86, 58], chartreuse: [80, 62, 52],
  green: [140, 36, 34], grün: [140, 36, 34], olive: [72, 34, 32], emerald: [154, 56, 33], teal: [180, 52, 30], turquoise: [175, 50, 46],
  blue: [214, 58, 46], sky: [204, 68, 70], navy: [222, 48, 24], marine: [222, 48, 26], cobalt: [220, 72, 42], lavender: [262, 46, 78], purple: [274, 40, 44],
};

// palette is one or two colours: those that the name has words for, in their
// order, else what the seed gives.
function palette(name, seed) {
  const text = name.toLowerCase();
  const found = Object.keys(words)
    .map((word) => ({ word, at: text.search(new RegExp(`(^|[^\\p{L}])${word}([^\\p{L}]|$)`, "u")) }))
    .filter(({ at }) => at >= 0).sort((a, b) => a.at - b.at).map(({ word }) => words[word]);
  // "Sky Blue" and "Forest Green" are one colour.
  if (text.includes("sky blue")) return [words.sky];
  if (/dark|deep|forest|midnight/.test(text) && found.length > 0) {
    return [[found[0][0], found[0][1], Math.max(14, found[0][2] - 10)], ...found.slice(1, 2)];
  }
  if (found.length > 0) return found.slice(0, 2);
  const h = hash(seed);
  return [[h % 360, 34 + (h >>> 9) % 26, 38 + (h >>> 17) % 22]];
}

function css([h, s, l], change = 0) {
  return `hsl(${h} ${s}% ${Math.min(97, Math.max(6, l + change))}%)`;
}

// Garments, in a box of 200 by 200: where they end, the body, what the second
// colour is for, and details as lines.
const garments = {
  shoe: {
    floor: 156,
    body: "M30 72c7-9 22-10 30-2 6 6 8 14 16 14 8 0 12 3 18 9 12 12 22 17 42 19 22 2 38 8 40 24H28c-5-20-6-48 2-64z",
    second: "M25 136h153c5 0 5 20-8 20H37c-11 0-15-10-12-20z",
    lines: "M86 98l12-10M97 108l12-10M109 116l11-10M44 84c4 14 4 30 2 46M136 112c-6 6-8 14-8 22",
  },
  trousers: {
    floor: 176,
    body: "M60 26h80l13 150h-41l-12-94-12 94H47z",
    second: "M60 26h80l1.4 14H58.6z",
    lines: "M100 40v42M70 46c0 12-4 18-12 20M130 46c0 12 4 18 12 20M78 82l-8 90M122 82l8 90",
  },
  shorts: {
    floor: 140,
    body: "M52 46h96l16 94h-56l-8-40-8 40H36z",
    second: "M52 46h96l2.6 15H49.4z",
    lines: "M100 61v39M64 66c0 12-5 20-14 22M136 66c0 12 5 20 14 22M38 128h56M106 128h56",
  },
  dress: {
    floor: 181,
    body: "M76 24l10 2c4 16 24 16 28 0l10-2 7 50-6 22 36 72c-40 14-82 14-122 0l36-72-6-22z",
    second: "M75 88h50l3 12H72z",
    lines: "M88 100l-16 74M100 100v78M112 100l16 74",
  },
  bag: {
    floor: 174,
    body: "M42 78h116c6 0 11 5 11 11l6 69c1 9-5 16-14 16H39c-9 0-15-7-14-16l6-69c0-6 5-11 11-11z",
    second: "M31 88c0-6 5-10 11-10h116c6 0 11 4 11 10l2 24c-4 16-54 20-71 20s-67-4-71-20z",
    lines: "M70 78V62c0-38 60-38 60 0v16M92 126h16v14H92z",
  },
  cap: {
    floor: 150,
    body: "M42 122c-4-48 26-72 62-72 38 0 62 28 60 72-40-10-80-10-122 0z",
    second: "M42 122c44-11 84-11 122 0 14 4 24 14 26 26-44-18-98-20-152-12-4-6 0-12 4-14z",
    lines: "M104 50c-14 18-20 40-20 66M104 50c16 18 22 40 22 66M98 48h12",
  },
  glasses: {
    floor: 130,
    body: "M26 84c0-8 5-12 13-12h40c9 0 14 4 14 12 0 28-8 46-33 46S26 112 26 84zM107 84c0-8 5-12 14-12h40c8 0 13 4 13 12 0 28-9 46-34 46s-33-18-33-46z",
    second: "M93 80c5-4 9-4 14 0v10c-5-4-9-4-14 0zM26 76l-14-8v9l14 12zM174 76l14-8v9l-14 12z",
    lines: "M40 104l20-22M121 104l20-22",
  },
  sock: {
    floor: 174,
    body: "M76 24h46v84c0 12 30 18 40 34 8 14-2 34-24 32-14-1-52-20-60-36-4-8-2-18-2-30z",
    second: "M76 24h46v22H76zM162 142c8 14-2 34-24 32-6-1-12-3-18-6 2-22 18-34 38-31 1 1 3 3 4 5z",
    lines: "M88 60v50M99 60v50M110 60v46",
  },
  watch: {
    floor: 180,
    body: "M78 20h44l6 50H72zM72 130h56l-6 50H78z",
    second: "M100 58c23 0 42 19 42 42s-19 42-42 42-42-19-42-42 19-42 42-42z",
    lines: "M100 72v28l18 12M100 66v2M100 132v2M66 100h2M132 100h2M142 94h6v12h-6",
  },
  shirt: {
    floor: 176,
    body: "M72 30L40 46 16 92l28 16 12-18v86h88V90l12 18 28-16-24-46-32-16c-4 18-52 18-56 0z",
    second: "M72 30c4 18 52 18 56 0l7 4c-4 28-66 28-70 0z",
    lines: "M56 90l4-22M144 90l-4-22M60 168h80",
  },
  jacket: {
    floor: 176,
    body: "M70 28L42 42C32 62 24 110 20 152l26 6 10-50v68h88v-68l10 50 26-6c-4-42-12-90-22-110l-28-14-30 26z",
    second: "M70 28h60l8 5-38 42-38-42z",
    lines: "M100 75v101M56 108l4-34M144 108l-4-34M66 132h20v18H66zM114 132h20v18h-20zM22 140l27 6M178 140l-27 6",
  },
  hanger: {
    floor: 138,
    body: "M100 70l78 52c8 6 6 16-4 16H26c-10 0-12-10-4-16zM100 86l-58 38h116z",
    second: "M88 66c-8-16 0-30 14-30s20 16 10 24c-6 5-8 6-8 12h-8c0-9 2-12 9-18 5-5 3-10-3-10-7 0-10 7-6 16z",
    lines: "",
  },
};

// The first that fits the name of the product, else its category.
const kinds = [
  ["glasses", /glass|shades/], ["sock", /socks?\b|stocking/], ["shoe", /shoe|kicks|sneaker|boot|loafer|sandal|slipper|force ones|trainer/],
  ["shorts", /shorts|trunks|swim|bikini|underwear|brief/], ["trousers", /pant|jean|chino|slack|jogger|legging|trouser/], ["shirt", /shirt|polo|henley|\btee\b|tank|\btop\b|jersey/],
  ["dress", /dress|skirt|kimono|gown/], ["bag", /bag|backpack|tote|wallet|duffel|purse/], ["cap", /\bhats?\b|\bcaps?\b|beanie|bandana/], ["watch", /watch/],
  ["jacket", /jacket|parka|coat|blazer|hoodie|cardigan|vest|windbreaker|onesie|poncho|sweater|pullover|pyjama/],
];

function kindOf(product) {
  for (const text of [product.name, product.category]) {
    const kind = kinds.find(([, pattern]) => pattern.test(text.toLowerCase()));
    if (kind) return kind[0];
  }
  return "hanger";
}

let drawings = 0; // for ids, which a document has only once

function draw(product, style, n) {
  const seed = style === null || style.id === null ? `product ${product.id}` : `style ${style.id}`;
  const name = style?.name ?? "";
  const h = hash(seed);
  const [main, accent = [main[0], main[1], main[2] > 50 ? main[2] - 26 : main[2] + 22]] = palette(name, seed);
  const garment = garments[kindOf(product)];
  const id = `d${++drawings}`;

  // The backdrop takes a hue of its own, so that styles of one colour differ.
  const hue = (main[0] + [28, 180, 205, 150, 320][h % 5]) % 360;
  const light = main[2] > 74 ? 66 : 88;
  const backdrop = [hue, 22 + (h >>> 5) % 18, light];
  const view = n % 4; // front, tilted, close, mirrored
  const turn = [0, -9, 6, 0][view] + (view === 1 ? (h >>> 11) % 5 : 0);
  const scale = [1.42, 1.28, 2.5, 1.42][view];
  const shift = view === 2 ? [((h >>> 7) % 2 ? 1 : -1) * 46, -50] : [0, 0];
  const pose = `translate(${200 + shift[0]} ${(view === 2 ? 300 : 252) + shift[1]}) rotate(${turn}) scale(${view === 3 ? -scale : scale} ${scale}) translate(-100 -100)`;

  const body = { d: garment.body, "fill-rule": "evenodd" };
  return svg("svg", { viewBox: "0 0 400 500", preserveAspectRatio: "xMidYMid slice", focusable: "false" },
    svg("defs", {},
      svg("linearGradient", { id: `${id}b`, x1: 0, y1: 0, x2: view % 2, y2: 1 }, stop(0, css(backdrop, 5)), stop(1, css(backdrop, -7))),
      svg("linearGradient", { id: `${id}s`, x1: 0, y1: 0, x2: 1, y2: 1 }, stop(0, "#fff", 0.22), stop(0.55, "#fff", 0), stop(1, "#000", 0.2)),
      weave(name.toLowerCase(), `${id}w`, accent)),
    svg("rect", { width: 400, height: 500, fill: `url(#${id}b)` }),
    scenery((h >>> 13) % 4, css(backdrop, light > 70 ? -12 : 9), view),
    view === 2 ? null : svg("ellipse", { cx: 200, cy: 252 + (garment.floor - 100) * scale + 24, rx: 104, ry: 10, fill: "#000", opacity: 0.13 }),
    svg("g", { transform: pose },
      svg("path", { ...body, fill: css(main), stroke: css(main, -12), "stroke-width": 1.4, "stroke-linejoin": "round" }),
      svg("path", { ...body, fill: `url(#${id}w)` }),
      svg("path", { d: garment.second, fill: css(accent), stroke: css(accent, -10), "stroke-width": 1.2, "stroke-linejoin": "round" }),
      svg("path", { ...body, fill: `url(#${id}s)` }),
      svg("path", { d: garment.lines, fill: "none", stroke: main[2] > 45 ? "#000" : "#fff", opacity: 0.34, "stroke-width": 2, "stroke-linecap": "round", "stroke-linejoin": "round" })));
}

function stop(offset, colour, opacity = 1) {
  return svg("stop", { offset, "stop-color": colour, "stop-opacity": opacity });
}

function scenery(which, colour, view) {
  const x = view === 3 ? 250 : 200;
  switch (which) {
    case 0: return svg("path", { d: `M${x - 130} 500V230a130 130 0 0 1 260 0v270z`, fill: colour, opacity: 0.75 });
    case 1: return svg("circle", { cx: x, cy: 245, r: 158, fill: colour, opacity: 0.75 });
    case 2: return svg("path", { d: "M0 330c90-50 150 20 230-10s110-60 170-40v220H0z", fill: colour, opacity: 0.75 });
    default: return svg("rect", { y: 400, width: 400, height: 100, fill: colour, opacity: 0.75 });
  }
}

// weave is the pattern of the cloth, for names that have one.
function weave(name, id, accent) {
  const ink = css(accent);
  const pattern = (size, ...content) => svg("pattern", { id, width: size, height: size, patternUnits: "userSpaceOnUse", patternTransform: "rotate(8)" }, content);
  if (name.includes("plaid")) {
    return pattern(26, svg("path", { d: "M0 6h26M6 0v26", stroke: ink, "stroke-width": 8, opacity: 0.45 }), svg("path", { d: "M0 18h26M18 0v26", stroke: "#fff", "stroke-width": 1.5, opacity: 0.6 }));
  }
  if (name.includes("pinstripe")) return pattern(10, svg("path", { d: "M5 0v10", stroke: "#fff", "stroke-width": 1, opacity: 0.7 }));
  if (name.includes("zebra")) return pattern(26, svg("path", { d: "M-2 8c8-10 14 6 30-4M-2 22c10-8 16 4 30-5", stroke: "#161412", "stroke-width": 5, fill: "none", opacity: 0.85 }));
  if (name.includes("camo")) return pattern(40, svg("path", { d: "M4 6c10-6 18 4 12 12S-2 14 4 6zM26 24c8-4 14 4 8 10s-14-6-8-10z", fill: ink, opacity: 0.8 }));
  return pattern(8);
}
