// The read routes, and one model made from the answers of either contract. The
// contract is told by the shape of what comes, field by field.

// Trouble is an answer that is not what was asked for, or none at all.
export class Trouble extends Error {
  constructor(status, detail) {
    super(detail);
    this.status = status; // 0 where there was no answer
  }
}

async function get(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Trouble(0, "The server can't be reached.");
  }
  if (!response.ok) {
    let detail = "";
    try {
      ({ detail } = await response.json());
    } catch {
      // A proxy's error page says nothing that belongs here.
    }
    throw new Trouble(response.status, String(detail || `The server answered with status ${response.status}.`));
  }
  return { body: JSON.parse(await response.text(), exact), header: response.headers };
}

// exact keeps ids beyond 2^53 as text, where the browser lets it see the digits.
function exact(key, value, context) {
  return Number.isInteger(value) && !Number.isSafeInteger(value) && context?.source ? context.source : value;
}

// page is a page of products and how many there are in all.
export async function page(number, size, signal) {
  const { body, header } = await get(`/products/list?page=${number}&count=${size}`, signal);
  return { products: body.map(readProduct), total: Number(header.get("X-Total-Count")) };
}

export async function product(id, signal) {
  return readProduct((await get(`/products/${id}`, signal)).body);
}

// products are those of ids that exist.
export async function products(ids, signal) {
  if (ids.length === 0) return [];
  return (await get(`/products?ids=${ids.join(",")}`, signal)).body.map(readProduct);
}

export async function related(id, signal) {
  return (await get(`/products/${id}/related`, signal)).body;
}

// styles are the styles of a product, the default one marked. A product without
// styles has one, with the id null.
export async function styles(id, signal) {
  const { results } = (await get(`/products/${id}/styles`, signal)).body;
  const all = results.map(readStyle);
  if (!all.some((style) => style.isDefault)) all[0].isDefault = true;
  return all;
}

function readProduct(p) {
  return {
    id: p.id,
    name: p.name,
    slogan: p.slogan,
    description: p.description,
    category: p.category,
    price: Number(p.default_price),
    // Without a value, pulsar says "null" and atelier null.
    features: (p.features ?? []).map(({ feature, value }) => ({ name: feature, value: value === "null" ? null : value })),
  };
}

function readStyle(s) {
  // Without a sale, pulsar says "0" and atelier null.
  const sale = Number(s.sale_price ?? 0);
  return {
    id: s.style_id,
    name: s.name,
    price: Number(s.original_price),
    salePrice: sale > 0 ? sale : null,
    isDefault: Boolean(s["default?"]),
    photos: s.photos.map((photo) => ({ url: webURL(photo.url), thumbnail: webURL(photo.thumbnail_url) ?? webURL(photo.url) })),
    sizes: readSizes(s.skus),
  };
}

// webURL is an address that may be fetched, or null. Others, such as those
// of scripts, stay out of the page.
function webURL(text) {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

// readSizes lists sizes with their stock. Pulsar maps size to quantity, atelier
// SKU to both; without SKUs the only key is "null".
function readSizes(skus) {
  const stock = new Map();
  for (const [key, sku] of Object.entries(skus)) {
    const [size, quantity] = sku !== null && typeof sku === "object" ? [sku.size, sku.quantity] : [key, sku];
    if (quantity !== null) stock.set(size, (stock.get(size) ?? 0) + quantity);
  }
  return [...stock].map(([size, quantity]) => ({ size, quantity })).sort((a, b) => compareSizes(a.size, b.size));
}

const letters = ["XS", "S", "M", "L", "XL", "XXL"];

// compareSizes orders letters, then numbers, then the rest by name. Pulsar sends
// them like that, but JavaScript puts keys that look like integers first.
function compareSizes(a, b) {
  const rank = (size) => {
    const letter = letters.indexOf(size);
    if (letter >= 0) return [0, letter];
    return /^\d+(\.\d+)?$/.test(size) ? [1, Number(size)] : [2, 0];
  };
  const [groupA, placeA] = rank(a);
  const [groupB, placeB] = rank(b);
  return groupA - groupB || placeA - placeB || (a < b ? -1 : a > b ? 1 : 0);
}
