/** Everything the pages of gemel load; built by Vite into `src/gemel/ui/static/dist`. */

import "./style/fonts.css";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/twin.css";
import "./style/parts.css";
import "htmx.org";
import "./age";
import "./copy";
import "./live";
import "./plume";
import "./whatif";
