// The HTTP interface: one envelope for answers and errors.

export class ApiError extends Error {
  constructor(status, code, message, requestId, retryAfterS) {
    super(message);
    Object.assign(this, { status, code, requestId, retryAfterS });
  }
}

export class Api {
  constructor() {
    this.token = null;
    this.speed = 1;
    this.anchor = null; // where the application's clock stood, and when we heard
    this.onRefused = () => {}; // a token is good no longer
  }

  // The application's time in ms. In replay it runs faster than ours.
  now() {
    if (!this.anchor) return Date.now();
    return this.anchor.there + (performance.now() - this.anchor.here) * this.speed;
  }

  async call(path, { method = "GET", body, headers = {}, signal } = {}) {
    const token = this.token;
    const sent = { ...headers };
    if (token) sent.Authorization = `Bearer ${token}`;
    if (body !== undefined) sent["Content-Type"] = "application/json";
    let response;
    try {
      response = await fetch(path, { method, signal, headers: sent, body: body === undefined ? undefined : JSON.stringify(body), cache: "no-store" });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, "UNREACHABLE", "The server cannot be reached.");
    }
    const envelope = await response.json().catch(() => null);
    if (!response.ok || envelope?.status !== "success") {
      const error = failure(response, envelope);
      if (response.status === 401 && token && token === this.token) this.onRefused(error);
      throw error;
    }
    const there = Date.parse(envelope.meta?.timestamp ?? "");
    if (there) this.anchor = { there, here: performance.now() };
    return Object.assign(envelope, { etag: response.headers.get("ETag") });
  }

  async data(path, options) {
    return (await this.call(path, options)).data;
  }
}

export function failure(response, envelope) {
  const first = envelope?.errors?.[0];
  return new ApiError(
    response.status,
    first?.code ?? `HTTP_${response.status}`,
    first?.message ?? `The server answered ${response.status}.`,
    envelope?.meta?.request_id,
    Number(response.headers.get("Retry-After")) || null,
  );
}

export const part = encodeURIComponent;
