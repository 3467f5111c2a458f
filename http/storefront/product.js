// A product: gallery, styles, sizes with stock, features, related products.
import * as api from "./api.js";
import { picture } from "./art.js";
import { announce, count, el } from "./dom.js";
import { cards, costOf } from "./list.js";

const relatedShown = 8;
// Few enough to say so.
const scarce = 5;

export async function productView(id, wanted, signal) {
  const [product, styles, related] = await Promise.all([
    api.product(id, signal),
    api.styles(id, signal),
    relatedProducts(id, signal),
  ]);
  const name = product.name || `Product ${product.id}`;
  const chosen = styles.find((s) => String(s.id) === wanted) ?? styles.find((s) => s.isDefault);

  const gallery = el("section", { class: "gallery", "aria-label": "Pictures" });
  const cost = el("p", { class: "cost big", "aria-live": "polite" });
  const sizes = el("div", { class: "sizes" });
  const legend = el("span", { class: "chosen" });
  const choose = (style) => {
    fillGallery(gallery, product, style);
    cost.replaceChildren(...costOf(style), ...savingOf(style));
    sizes.replaceChildren(...sizesOf(style));
    legend.textContent = style.name;
  };
  choose(chosen);

  return {
    title: name,
    content: [
      el("nav", { class: "crumbs", "aria-label": "Breadcrumb" }, el("a", { href: "#/" }, "Products"), el("span", { "aria-hidden": "true" }, "/"), el("span", { "aria-current": "page" }, name)),
      el("article", { class: "product" },
        gallery,
        el("div", { class: "facts" },
          el("p", { class: "muted" }, product.category),
          el("h1", { tabindex: "-1" }, name),
          product.slogan ? el("p", { class: "slogan" }, product.slogan) : null,
          cost,
          stylePicker(product, styles, chosen, legend, choose),
          sizes,
          product.description ? el("section", { class: "story" }, el("h2", {}, "Description"), el("p", {}, product.description)) : null,
          features(product))),
      related.length === 0 ? null : el("section", { class: "related" }, el("h2", {}, "You may also like"), cards(related, signal, "h3")),
      source(id),
    ].filter(Boolean),
  };
}

// relatedProducts are the first few, each once and without the product itself.
// The page is of use without them.
async function relatedProducts(id, signal) {
  try {
    const ids = [...new Set((await api.related(id, signal)).map(String))].filter((other) => other !== id);
    return await api.products(ids.slice(0, relatedShown), signal);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return [];
  }
}

function fillGallery(gallery, product, style) {
  const stage = el("div", { class: "frame stage" });
  const label = (i) => {
    const what = [product.name, style.name].filter(Boolean).join(" in ") || "The product";
    return style.photos.length === 1 ? what : `${what}, picture ${i + 1} of ${style.photos.length}`;
  };
  let current = 0;
  const position = el("p", { class: "position small", "aria-hidden": "true" });
  const thumbnails = style.photos.map((_, i) => el("button",
    { type: "button", class: "frame thumb", "aria-label": `Picture ${i + 1} of ${style.photos.length}`, onclick: () => go(i) },
    picture(product, style, i, "thumbnail", "")));
  const go = (i) => {
    current = (i + style.photos.length) % style.photos.length;
    stage.replaceChildren(picture(product, style, current, "url", label(current)));
    position.textContent = `${current + 1} / ${style.photos.length}`;
    thumbnails.forEach((t, n) => {
      if (n === current) t.setAttribute("aria-current", "true");
      else t.removeAttribute("aria-current");
    });
  };
  const turn = (by) => {
    go(current + by);
    announce(label(current));
  };
  go(0);
  if (style.photos.length === 1) {
    gallery.replaceChildren(el("div", { class: "viewer" }, stage));
    return;
  }
  gallery.replaceChildren(
    el("div", { class: "viewer" }, stage, position,
      el("button", { type: "button", class: "turn back", "aria-label": "Previous picture", onclick: () => turn(-1) }, "‹"),
      el("button", { type: "button", class: "turn on", "aria-label": "Next picture", onclick: () => turn(1) }, "›")),
    el("div", { class: "thumbs" }, thumbnails));
}

function stylePicker(product, styles, chosen, legend, choose) {
  if (chosen.id === null) return null;
  return el("fieldset", { class: "picker" },
    el("legend", {}, "Style ", legend),
    el("div", { class: "options" }, styles.map((style) => el("label", { class: "style", title: style.name },
      el("input", {
        type: "radio", name: "style", value: style.id, checked: style === chosen, "aria-label": style.name || `Style ${style.id}`,
        onchange: () => {
          choose(style);
          // Each choice would be a step of the back button otherwise.
          history.replaceState(null, "", `#/products/${product.id}?style=${style.id}`);
          dispatchEvent(new Event("stylechosen"));
        },
      }),
      el("span", { class: "frame" }, picture(product, style, 0, "thumbnail", "")),
      style.salePrice === null ? null : el("span", { class: "badge", "aria-hidden": "true" }, "Sale")))));
}

function savingOf(style) {
  if (style.salePrice === null || style.salePrice >= style.price) return [];
  const percent = Math.min(99, Math.round((1 - style.salePrice / style.price) * 100));
  return percent < 1 ? [] : [" ", el("span", { class: "saving" }, `−${percent} %`)];
}

function sizesOf(style) {
  if (style.sizes.length === 0) {
    return [el("p", { class: "stock none", role: "status" }, style.id === null ? "This product can't be ordered at the moment." : "This style can't be ordered at the moment.")];
  }
  const stock = el("p", { class: "stock none", role: "status" });
  const total = style.sizes.reduce((sum, s) => sum + s.quantity, 0);
  stock.textContent = total === 0 ? "Sold out in every size." : "Choose a size.";
  const tell = ({ size, quantity }) => {
    stock.textContent = quantity <= scarce ? `Size ${size}: only ${quantity} left.` : `Size ${size}: ${count(quantity, "piece")} in stock.`;
    stock.className = quantity <= scarce ? "stock few" : "stock";
  };
  return [
    el("fieldset", { class: "picker" },
      el("legend", {}, "Size"),
      el("div", { class: "options" }, style.sizes.map((s) => el("label", { class: "size" },
        el("input", { type: "radio", name: "size", value: s.size, disabled: s.quantity === 0, onchange: () => tell(s) }),
        el("span", { class: "chip" }, el("b", {}, s.size || "–"),
          el("span", { class: s.quantity > scarce ? "small" : "small few" }, leftOf(s.quantity))))))),
    stock,
  ];
}

function leftOf(quantity) {
  if (quantity === 0) return "Sold out";
  return quantity <= scarce ? `Only ${quantity} left` : `${quantity} in stock`;
}

function features(product) {
  if (product.features.length === 0) return null;
  return el("section", { class: "story" }, el("h2", {}, "Details"),
    el("dl", {}, product.features.map(({ name, value }) => el("div", {}, el("dt", {}, name), el("dd", {}, value ?? el("span", { class: "tick", role: "img", "aria-label": "yes" }, "✓"))))));
}

// source shows where the page came from, to those who are here for the API.
function source(id) {
  const paths = [`/products/${id}`, `/products/${id}/styles`, `/products/${id}/related`];
  return el("aside", { class: "source small", "aria-label": "The answers behind this page" }, "Behind this page: ",
    paths.map((path) => el("a", { href: path }, el("code", {}, `GET ${path}`))));
}
