// The list of products, page by page, and the cards that it is made of.
import * as api from "./api.js";
import { colourOf, picture } from "./art.js";
import { count, el, price } from "./dom.js";

const pageSize = 12;

export async function listView(number, signal) {
  const { products, total } = await api.page(number, pageSize, signal);
  const last = Math.max(1, Math.ceil(total / pageSize));
  const heading = el("h1", { tabindex: "-1" }, "Products");
  if (products.length === 0) {
    return {
      title: "Products",
      content: [
        el("section", { class: "notice" }, heading,
          el("p", {}, total === 0 ? "The catalogue is empty." : `There is no page ${number}: the last one is page ${last}.`),
          total === 0 ? null : el("p", { class: "actions" }, el("a", { class: "button", href: `#/?page=${last}` }, `Page ${last}`))),
      ],
    };
  }
  return {
    title: number === 1 ? "hotshelf" : `Products, page ${number}`,
    content: [
      el("div", { class: "headline" }, heading,
        el("p", { class: "muted" }, `${count(total, "product")} · page ${number} of ${last}`)),
      cards(products, signal, "h2"),
      last > 1 ? pager(number, last) : null,
    ].filter(Boolean),
  };
}

// cards is a grid of products. Their styles are fetched once it is there.
export function cards(products, signal, level) {
  return el("ul", { class: "cards", role: "list" }, products.map((product) => card(product, signal, level)));
}

function card(product, signal, level) {
  const image = el("div", { class: "frame" });
  const cost = el("p", { class: "cost" }, price(product.price));
  const swatches = el("p", { class: "swatches" });
  const item = el("li", { class: "card" },
    image,
    el("div", { class: "caption" },
      el("p", { class: "muted small" }, product.category),
      el(level, {}, el("a", { href: `#/products/${product.id}` }, product.name || `Product ${product.id}`)),
      cost, swatches));

  api.styles(product.id, signal).then((styles) => {
    const style = styles.find((s) => s.isDefault);
    image.append(picture(product, style, 0, "thumbnail", ""));
    cost.replaceChildren(...costOf(style));
    if (style.salePrice !== null) image.append(el("span", { class: "badge" }, "Sale"));
    if (style.id !== null) {
      swatches.append(...styles.slice(0, 6).map((s) => {
        const dot = el("span", { class: "dot" });
        dot.style.background = colourOf(s);
        return dot;
      }), el("span", { class: "muted small" }, count(styles.length, "style")));
    }
  }).catch((error) => {
    // The card does without: it is complete as it is, but for its picture.
    if (error.name !== "AbortError") image.append(picture(product, null, 0, "thumbnail", ""));
  });
  return item;
}

// costOf is what a style costs, and what it did before a sale.
export function costOf(style) {
  if (style.salePrice === null) return [price(style.price)];
  return [
    el("ins", {}, el("span", { class: "unseen" }, "Sale price: "), price(style.salePrice)), " ",
    el("s", {}, el("span", { class: "unseen" }, "Before: "), price(style.price)),
  ];
}

function pager(number, last) {
  const link = (page, text, label, more = {}) => el("a", { href: `#/?page=${page}`, "aria-label": label, ...more }, text);
  const numbers = [...new Set([1, number - 1, number, number + 1, last])].filter((n) => n >= 1 && n <= last).sort((a, b) => a - b);
  const items = [];
  numbers.forEach((n, i) => {
    if (i > 0 && n > numbers[i - 1] + 1) items.push(el("li", { class: "gap", "aria-hidden": "true" }, "…"));
    items.push(el("li", {}, link(n, String(n), `Page ${n}`, { "aria-current": n === number ? "page" : null })));
  });
  return el("nav", { class: "pager", "aria-label": "Pages" },
    number > 1 ? link(number - 1, "← Previous", "Previous page", { rel: "prev", class: "step" }) : el("span", { class: "step off" }, "← Previous"),
    el("ul", { role: "list" }, items),
    number < last ? link(number + 1, "Next →", "Next page", { rel: "next", class: "step" }) : el("span", { class: "step off" }, "Next →"));
}
