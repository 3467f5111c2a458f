SwaggerUIBundle({
  url: "/openapi.yaml",
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  tryItOutEnabled: true,
  // The token of Authorize lives as long as the page, and goes nowhere else.
  persistAuthorization: false,
  validatorUrl: null,
});
