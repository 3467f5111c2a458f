// The address after the # says what is shown:
//   #/?page=2            a page of the list
//   #/products/7?style=3 a product, and which of its styles
import { Trouble } from "./api.js";
import { announce, el } from "./dom.js";
import { listView } from "./list.js";
import { productView } from "./product.js";

const main = document.getElementById("main");
const progress = document.querySelector(".progress");

let under = null; // aborts the view that is being fetched
let shown = null; // the address of the view that is on the page
let clicked = false; // the next change of address is a click's, not the back button's
const scrolled = new Map(); // address to where it was scrolled

history.scrollRestoration = "manual";

async function show() {
  const address = location.hash || "#/";
  if (!address.startsWith("#/")) return;
  const first = shown === null;
  if (!first && shown !== address) scrolled.set(shown, scrollY);
  const top = clicked ? 0 : (scrolled.get(address) ?? 0);
  clicked = false;

  under?.abort();
  const abort = (under = new AbortController());
  progress.hidden = false;
  main.setAttribute("aria-busy", "true");
  let view;
  try {
    view = await route(address, abort.signal);
  } catch (error) {
    if (abort.signal.aborted) return;
    view = troubleView(error);
  }
  if (abort.signal.aborted) return;
  progress.hidden = true;
  main.removeAttribute("aria-busy");
  shown = address;
  document.title = view.title === "hotshelf" ? view.title : `${view.title} · hotshelf`;
  main.replaceChildren(...view.content);
  scrollTo(0, top);
  if (!first) {
    // Who reads by keyboard or by ear goes on from the new heading.
    main.querySelector("h1")?.focus({ preventScroll: true });
    announce(view.title);
  }
}

function route(address, signal) {
  const [path, query] = address.slice(1).split("?", 2);
  const parameters = new URLSearchParams(query);
  const product = /^\/products\/([1-9]\d{0,18})\/?$/.exec(path);
  if (product) return productView(product[1], parameters.get("style"), signal);
  const page = parameters.get("page") ?? "1";
  if (path === "/" && /^[1-9]\d{0,8}$/.test(page)) return listView(Number(page), signal);
  throw new Trouble(404, "There is nothing at this address.");
}

function troubleView(error) {
  if (!(error instanceof Trouble)) console.error(error);
  const missing = error.status === 404 || error.status === 400;
  let title = "Something went wrong";
  if (missing) title = "Not found";
  else if (error.status === 0) title = "No connection";
  else if (error.status === 503) title = "One moment, please";
  const detail = error instanceof Trouble ? error.message : "This page could not be put together.";
  return {
    title,
    content: [
      el("section", { class: "notice", role: "alert" },
        el("h1", { tabindex: "-1" }, title),
        el("p", {}, detail),
        el("p", { class: "actions" },
          missing ? null : el("button", { type: "button", class: "button", onclick: show }, "Try again"),
          el("a", { class: missing ? "button" : "button quiet", href: "#/" }, "All products"))),
    ],
  };
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='#']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
  if (link.hash === "#main") {
    event.preventDefault();
    main.focus();
    return;
  }
  clicked = link.hash !== location.hash;
});
addEventListener("hashchange", show);
// A style that was chosen is part of the address, without a new view.
addEventListener("stylechosen", () => { shown = location.hash; });
show();
