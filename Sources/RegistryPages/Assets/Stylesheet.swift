/// How pages look: one sheet, which every page carries, so that a page is one request.
package enum Stylesheet {
    /// Between the tags of `<style>`, to the byte: the hash of it is what a browser lets in.
    package static let text = """
        :root{color-scheme:light dark;--bg:#fbfbfa;--panel:#fff;--line:#e3e2de;--soft:#f1f0ed;--text:#1f2328;--dim:#5d646c;\
        --link:#0b5cad;--accent:#0f766e;--mark:#d9efec;--bad:#a4262c}
        @media(prefers-color-scheme:dark){:root{--bg:#14171a;--panel:#1a1e22;--line:#2d3339;--soft:#22272c;--text:#e4e7ea;\
        --dim:#9aa4ae;--link:#79b8ff;--accent:#4fd1c5;--mark:#173a38;--bad:#ff9a9a}}
        *{box-sizing:border-box}
        html{-webkit-text-size-adjust:100%}
        body{margin:0;background:var(--bg);color:var(--text);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,\
        "Helvetica Neue","Noto Sans","DejaVu Sans",sans-serif;overflow-wrap:anywhere}
        a{color:var(--link);text-decoration:none}
        a:hover{text-decoration:underline}
        :focus-visible{outline:2px solid var(--accent);outline-offset:2px;border-radius:3px}
        code,pre,.mono,kbd{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.87em}
        pre code{font-size:1em}
        h1,h2,h3,h4,h5,h6{line-height:1.25;margin:0;font-weight:600}
        h1{font-size:1.6rem;letter-spacing:-.01em}
        h2{font-size:1.05rem;margin:0 0 .6rem}
        p{margin:.5rem 0}
        .wrap{max-width:70rem;margin:0 auto;padding:0 1.25rem}
        .skip{position:absolute;left:-99rem}
        .skip:focus{left:1rem;top:.5rem;background:var(--panel);padding:.3rem .6rem;z-index:9}
        .dim{color:var(--dim)}
        .nowrap{white-space:nowrap}
        header.top{background:var(--panel);border-bottom:1px solid var(--line)}
        header.top .wrap{display:flex;align-items:center;gap:1.25rem;min-height:3.4rem;padding-top:.5rem;padding-bottom:.5rem}
        .brand{display:flex;align-items:center;gap:.55rem;font-weight:650;color:var(--text);white-space:nowrap}
        .brand:hover{text-decoration:none}
        .brand svg{width:1.5rem;height:1.5rem;color:var(--accent);flex:none}
        .top nav{display:flex;gap:1rem;margin-left:auto;white-space:nowrap}
        .top nav a{color:var(--dim)}
        .top nav a[aria-current]{color:var(--text);font-weight:600}
        form.search{position:relative;flex:1 1 auto;max-width:32rem;display:flex}
        form.search input{flex:1;min-width:0;font:inherit;color:inherit;background:var(--bg);border:1px solid var(--line);\
        border-radius:7px 0 0 7px;padding:.38rem .7rem;border-right:0}
        form.search button{font:inherit;color:var(--text);background:var(--soft);border:1px solid var(--line);\
        border-radius:0 7px 7px 0;padding:.38rem .8rem;cursor:pointer}
        .found{position:absolute;z-index:5;top:calc(100% + 4px);left:0;right:0;margin:0;padding:.3rem;list-style:none;\
        background:var(--panel);border:1px solid var(--line);border-radius:8px;box-shadow:0 8px 24px rgb(0 0 0/.16)}
        .found[hidden]{display:none}
        .found li{padding:.35rem .55rem;border-radius:5px;cursor:pointer}
        .found li[aria-selected=true],.found li:hover{background:var(--mark)}
        .found b{font-weight:600;display:block}
        .found span{color:var(--dim);font-size:.87em;display:block;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
        main.wrap{padding-top:1.6rem;padding-bottom:3rem;display:block}
        footer{border-top:1px solid var(--line);color:var(--dim);font-size:.87rem}
        footer .wrap{display:flex;gap:1.2rem;flex-wrap:wrap;padding-top:1rem;padding-bottom:1.6rem}
        .hero{margin:.4rem 0 1.6rem}
        .hero p{max-width:46rem;color:var(--dim)}
        .two{display:grid;grid-template-columns:minmax(0,1fr) minmax(0,1fr);gap:1.6rem}
        .side{display:grid;grid-template-columns:minmax(0,1fr) 17rem;gap:1.8rem;align-items:start}
        .panel{background:var(--panel);border:1px solid var(--line);border-radius:9px;margin-bottom:1.5rem;overflow:hidden}
        .panel>h2,.panel>.head{padding:.65rem .95rem;border-bottom:1px solid var(--line);margin:0}
        .head{display:flex;align-items:baseline;gap:1rem;flex-wrap:wrap}
        .head h2{margin:0}
        .head .more{margin-left:auto;font-size:.87rem}
        .body{padding:.7rem .95rem}
        ul.rows{list-style:none;margin:0;padding:0}
        ul.rows li{padding:.6rem .95rem;border-bottom:1px solid var(--line)}
        ul.rows li:last-child{border-bottom:0}
        ul.rows .line{display:flex;gap:1rem;align-items:baseline;justify-content:space-between}
        ul.rows .name{font-weight:600}
        ul.rows p{margin:.1rem 0 0;color:var(--dim);font-size:.92rem;overflow:hidden;text-overflow:ellipsis;\
        display:-webkit-box;-webkit-line-clamp:2;-webkit-box-orient:vertical}
        .facts{color:var(--dim);font-size:.87rem;display:flex;gap:.2rem 1rem;flex-wrap:wrap}
        .crumbs{color:var(--dim);font-size:.92rem;margin-bottom:.25rem}
        .title{display:flex;flex-wrap:wrap;align-items:baseline;gap:.3rem .8rem}
        .lead{font-size:1.03rem;color:var(--dim);max-width:50rem;margin:.35rem 0 0}
        .chip{display:inline-block;border:1px solid var(--line);background:var(--soft);border-radius:99px;padding:0 .55rem;\
        font-size:.8rem;color:var(--dim);white-space:nowrap}
        .chips{display:flex;flex-wrap:wrap;gap:.3rem}
        .chip[aria-current]{border-color:var(--accent);color:var(--text);background:var(--mark)}
        nav.chips{margin-bottom:1rem;align-items:center}
        .copy{display:flex;align-items:stretch;background:var(--soft);border:1px solid var(--line);border-radius:8px;\
        margin:.9rem 0 1.4rem;max-width:46rem;overflow:hidden}
        .copy code{flex:1;padding:.55rem .8rem;overflow-x:auto;white-space:pre;overflow-wrap:normal}
        .copy button{font:inherit;font-size:.83rem;border:0;border-left:1px solid var(--line);background:transparent;\
        color:var(--link);padding:0 .9rem;cursor:pointer}
        .copy button:hover{background:var(--mark)}
        .scroll{overflow-x:auto}
        table{border-collapse:collapse;width:100%;font-size:.92rem}
        th{text-align:left;font-weight:600;color:var(--dim);font-size:.8rem;white-space:nowrap}
        th,td{padding:.48rem .95rem;border-bottom:1px solid var(--line);vertical-align:top}
        tbody tr:last-child>*{border-bottom:0}
        td.num,th.num{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
        tbody th{font-size:.92rem;color:var(--text);font-weight:500}
        tbody th.mono{font-size:.83rem;font-weight:400;width:38%;white-space:normal}
        dl{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:.4rem 1.2rem;margin:0;font-size:.92rem}
        dt{color:var(--dim)}
        dd{margin:0}
        dd ul{list-style:none;margin:0;padding:0}
        .about dl{display:block}
        .about dt{font-size:.8rem;margin-top:.6rem}
        .about dt:first-child{margin-top:0}
        ol.steps{list-style:none;margin:0;padding:0;counter-reset:step}
        ol.steps>li{display:grid;grid-template-columns:2.2rem minmax(0,1fr) 7.5rem;gap:.8rem;padding:.5rem .95rem;\
        border-bottom:1px solid var(--line);counter-increment:step}
        ol.steps>li:last-child{border-bottom:0}
        ol.steps>li::before{content:counter(step);color:var(--dim);font-size:.83rem;text-align:right;\
        font-variant-numeric:tabular-nums}
        ol.steps pre{margin:0;white-space:pre-wrap;max-height:9.5rem;overflow:auto}
        ol.steps .note{color:var(--dim);font-size:.83rem}
        ol.steps .size{text-align:right;font-size:.87rem;font-variant-numeric:tabular-nums}
        ol.steps .none{color:var(--dim)}
        .kw{color:var(--accent);font-weight:600}
        svg.bar{display:block;width:100%;height:5px;margin-top:.35rem;background:var(--soft);border-radius:3px}
        svg.bar rect{fill:var(--accent)}
        .readme{padding:.4rem 1.2rem 1rem}
        .readme h3{font-size:1.25rem;margin:1.2rem 0 .5rem}
        .readme h4{font-size:1.07rem;margin:1.1rem 0 .4rem}
        .readme h5,.readme h6{font-size:.95rem;margin:1rem 0 .3rem}
        .readme pre{background:var(--soft);border-radius:7px;padding:.7rem .9rem;overflow-x:auto;overflow-wrap:normal}
        .readme td code{white-space:nowrap}
        .readme :not(pre)>code{background:var(--soft);border-radius:4px;padding:.08em .35em}
        .readme blockquote{margin:.6rem 0;padding:0 1rem;border-left:3px solid var(--line);color:var(--dim)}
        .readme ul,.readme ol{padding-left:1.5rem;margin:.5rem 0}
        .readme hr{border:0;border-top:1px solid var(--line);margin:1.2rem 0}
        .readme table{width:auto;margin:.6rem 0}
        .readme tbody tr>*,.readme thead th{border:1px solid var(--line)!important;padding:.3rem .7rem}
        details summary{cursor:pointer;color:var(--link);padding:.6rem .95rem}
        details pre{margin:0;padding:.2rem .95rem .9rem;overflow:auto;max-height:30rem;white-space:pre-wrap}
        .empty{padding:1.6rem .95rem;color:var(--dim)}
        .pages{display:flex;gap:1rem;padding:.7rem .95rem;border-top:1px solid var(--line)}
        .sorts{display:flex;gap:.3rem .9rem;flex-wrap:wrap;font-size:.87rem}
        .sorts [aria-current]{color:var(--text);font-weight:600}
        .alone{max-width:40rem;margin:2.5rem auto}
        .alone .status{font-size:.87rem;color:var(--dim);letter-spacing:.05em}
        @media(max-width:52rem){.two,.side{grid-template-columns:minmax(0,1fr);gap:0}.about dl{display:grid}
        .about dt,.about dd{margin:0}}
        @media(max-width:38rem){body{font-size:14.5px}.wrap{padding:0 .9rem}h1{font-size:1.35rem}
        header.top .wrap{flex-wrap:wrap;gap:.5rem .9rem}form.search{order:3;flex-basis:100%;max-width:none}
        .wide{display:none}th,td,.body,ul.rows li,.panel>h2,.panel>.head{padding-left:.7rem;padding-right:.7rem}
        ol.steps>li{grid-template-columns:1.4rem minmax(0,1fr);padding:.5rem .7rem}ol.steps .size{grid-column:2;text-align:left}ol.steps>li{row-gap:.25rem}ol.steps .size:has(.none){display:none}
        dl{grid-template-columns:minmax(0,1fr);gap:0}dd{margin-bottom:.5rem}.about dd{margin-bottom:.5rem}}
        @media print{header.top form,.copy button,.pages{display:none}}
        """
}
