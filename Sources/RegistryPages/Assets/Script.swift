/// What pages do beyond being read, where a browser runs scripts: buttons that copy, results while a query is typed, and `/` for
/// the search field. Answers of the registry become text nodes and never markup.
package enum Script {
    /// Between the tags of `<script>`, to the byte: the hash of it is what a browser lets in.
    package static let text = """
        (function(){"use strict";
        function copied(b,t){b.textContent=t;setTimeout(function(){b.textContent="Copy"},1600)}
        function select(n){var r=document.createRange();r.selectNodeContents(n);var s=getSelection();s.removeAllRanges();s.addRange(r)}
        document.querySelectorAll(".copy").forEach(function(box){
          var code=box.querySelector("code"),b=document.createElement("button");
          b.type="button";b.textContent="Copy";b.setAttribute("aria-live","polite");
          b.addEventListener("click",function(){
            var old=function(){select(code);copied(b,document.execCommand("copy")?"Copied":"Press Ctrl+C")};
            if(navigator.clipboard)navigator.clipboard.writeText(code.textContent).then(function(){copied(b,"Copied")},old);else old()});
          box.appendChild(b)});
        var input=document.querySelector("form.search input"),list=document.getElementById("found");
        if(!input||!list)return;
        document.addEventListener("keydown",function(e){
          if(e.key==="/"&&!e.ctrlKey&&!e.metaKey&&!e.altKey&&!/^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)){
            e.preventDefault();input.focus();input.select()}});
        var asked=0,shown="",timer,at=-1,stop;
        input.setAttribute("role","combobox");input.setAttribute("aria-autocomplete","list");
        input.setAttribute("aria-controls","found");input.setAttribute("aria-expanded","false");
        function hide(){list.hidden=true;at=-1;input.setAttribute("aria-expanded","false");input.removeAttribute("aria-activedescendant")}
        function pick(n){var all=list.querySelectorAll("[role=option]");if(!all.length)return;
          at=(n+all.length)%all.length;
          all.forEach(function(o,i){o.setAttribute("aria-selected",i===at?"true":"false")});
          input.setAttribute("aria-activedescendant",all[at].id);all[at].scrollIntoView({block:"nearest"})}
        function line(tag,text){var n=document.createElement(tag);n.textContent=text;return n}
        function show(items,q){list.textContent="";at=-1;
          items.forEach(function(item,i){var o=document.createElement("li");o.id="found"+i;o.setAttribute("role","option");
            o.setAttribute("aria-selected","false");o.dataset.name=item.name;o.appendChild(line("b",item.name));
            if(item.description)o.appendChild(line("span",item.description));list.appendChild(o)});
          if(!items.length){var none=document.createElement("li");none.setAttribute("role","presentation");
            none.appendChild(line("span","Nothing found for \\u201c"+q+"\\u201d"));list.appendChild(none)}
          list.hidden=false;input.setAttribute("aria-expanded","true")}
        function go(o){if(o&&o.dataset.name)location.href="/r/"+o.dataset.name.split("/").map(encodeURIComponent).join("/")}
        function ask(){var q=input.value.trim();if(q===shown)return;shown=q;if(stop)stop.abort();
          if(!q){hide();return}
          var mine=++asked;stop=new AbortController();
          fetch("/api/v1/search?n=8&q="+encodeURIComponent(q),{signal:stop.signal,headers:{Accept:"application/json"}})
          .then(function(r){if(!r.ok)throw r;return r.json()})
          .then(function(a){if(mine===asked&&document.activeElement===input)show(a.items||[],q)}).catch(function(){if(mine===asked)hide()})}
        input.addEventListener("input",function(){clearTimeout(timer);timer=setTimeout(ask,90)});
        input.addEventListener("keydown",function(e){
          if(e.key==="Escape"){if(!list.hidden)e.preventDefault();hide();shown=""}
          else if(list.hidden)return;
          else if(e.key==="ArrowDown"){e.preventDefault();pick(at+1)}
          else if(e.key==="ArrowUp"){e.preventDefault();pick(at<0?-1:at-1)}
          else if(e.key==="Enter"&&at>=0){e.preventDefault();go(list.querySelectorAll("[role=option]")[at])}});
        input.addEventListener("blur",function(){setTimeout(hide,150)});
        list.addEventListener("mousedown",function(e){e.preventDefault();go(e.target.closest("[role=option]"))});
        })();
        """
}
